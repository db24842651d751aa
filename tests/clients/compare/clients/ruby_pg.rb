# Ruby's pg: text and binary results with its type maps, prepared statements, single-row mode, errors, a transaction.
require 'pg'
require 'digest'

def plain(value)
  value = value.to_s('F') if defined?(BigDecimal) && value.is_a?(BigDecimal)
  value.inspect.gsub("\n", '\n')
end

def say(key, value) = puts("#{key}\t#{plain(value)}")

def attempt(key)
  say(key, yield)
rescue PG::Error => e
  say(key, "error #{e.result&.error_field(PG::Result::PG_DIAG_SQLSTATE) || e.class}")
rescue StandardError => e
  say(key, "#{e.class} #{e.message}")
end

def lines(name)
  File.readlines("#{ENV['LIMNOS_CLIENTS_HERE']}/#{name}.tsv", chomp: true, encoding: 'UTF-8').reject { |line| line.empty? || line.start_with?('#') }.map { |line| line.split("\t", 2) }
end

# The type maps warn of types that they don't know, each in a line of its own.
$stderr.reopen(File::NULL)
db = PG.connect
db.set_notice_processor { |_| }
db.type_map_for_results = PG::BasicTypeMapForResults.new(db)
[['text', 0], ['binary', 1]].each do |way, form|
  lines('values').each do |name, sql|
    attempt("#{way}.#{name}") do
      result = db.exec_params(sql, [], form)
      say("type.#{name}", [result.fname(0), result.ftype(0), result.fmod(0), result.fsize(0)]) if form.zero?
      result.getvalue(0, 0)
    end
  end
  attempt("#{way}.rows") { db.exec_params('SELECT * FROM every_type ORDER BY id', [], form).values }
end
attempt('parameters') { db.exec_params('SELECT $1::int + 1, $2::text, $3::date, $4::numeric(10,2), $5::int', [7, "it's", '2024-02-29', '1.25', nil]).values }
attempt('where') { db.exec_params('SELECT count(*) FROM orders WHERE o_orderdate >= $1 AND o_totalprice < $2', ['1995-06-01', 100_000]).values }
attempt('prepared') do
  db.prepare('nation', 'SELECT n_name FROM nation WHERE n_nationkey = $1')
  described = db.describe_prepared('nation')
  [described.nparams, described.paramtype(0), described.fname(0), (0..8).map { |key| db.exec_prepared('nation', [key]).getvalue(0, 0) }]
end
attempt('single row') do
  db.send_query('SELECT * FROM many ORDER BY id')
  db.set_single_row_mode
  seen = Digest::SHA256.new
  count = 0
  db.get_result.stream_each_row { |row| seen << plain(row); count += 1 }
  db.get_last_result
  [count, seen.hexdigest[0, 16]]
end
lines('errors').each do |name, sql|
  db.exec(sql)
  say("error.#{name}", 'none')
rescue PG::Error => e
  say("error.#{name}", [e.class, e.result.error_field(PG::Result::PG_DIAG_SQLSTATE)])
end
attempt('transaction') { db.transaction { db.exec('SELECT 1 / 0') } }
attempt('transaction.after') { db.exec('SELECT 1').values }
attempt('several') { db.exec('SELECT 1; SELECT 2').values }
attempt('copy') do
  rows = []
  db.copy_data('COPY (SELECT id, c_text FROM every_type ORDER BY id) TO STDOUT') { while (row = db.get_copy_data) do rows << row end }
  rows
end
attempt('cancel') do
  db.send_query('SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11')
  sleep 0.5
  db.cancel
  db.get_last_result
end
attempt('cancel.after') { db.exec('SELECT 1').values }
attempt('reset') { db.reset; db.exec('SELECT 1').values }
db.close
