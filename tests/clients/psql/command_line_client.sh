# The same binary without a server: a folder is a database, and every output format can be read back.
query() { "$LIMNOS_BINARY" query "$@"; }
files=$(psql -X -At -c "SHOW CREATE TABLE nation" | grep -oE "file://[^']+" | head -1)
files=${files#file://}
[[ -d $files ]] && files=$(find "$files" -name '*.parquet' | head -1)
[[ $(query "SELECT count(*) FROM '$files'" --format csv | tail -1) == 25 ]]
out=$(mktemp -d)
for format in csv json ndjson parquet; do
    query "SELECT n_nationkey, n_name FROM '$files' ORDER BY n_nationkey" --format "$format" --output "$out/nations.$format"
    [[ -s $out/nations.$format ]]
done
[[ $(query "SELECT count(*), sum(n_nationkey) FROM '$out/nations.parquet'" --format csv | tail -1) == 25,300 ]]
[[ $(wc -l <"$out/nations.ndjson") == 25 ]]
python3 -c 'import json, sys; rows = json.load(open(sys.argv[1])); assert len(rows) == 25 and rows[0] == {"n_nationkey": 0, "n_name": "ALGERIA"}, rows[:2]' "$out/nations.json"
query "SELECT 1 AS one" --format markdown | grep -q '| *one *|'
query "SELECT 1 AS one" --format table | grep -q one
status=0
query "SELECT nope" >"$out/stdout" 2>"$out/stderr" || status=$?
((status != 0))
grep -q 'nope' "$out/stderr"
[[ ! -s $out/stdout ]]
rm -rf "$out"
