# psql: what it shows of values, tables and errors, and its own ways to fetch: FETCH_COUNT, \gdesc, \copy, \watch's kin.
show() {
    local name=$1
    shift
    local out
    # Where in its own source PostgreSQL says it, and what either says to help, are not compared.
    out=$(psql -X "$@" 2>&1 | grep -vE "^(LOCATION|HINT|DETAIL):") || true
    printf '%s\t%s\n' "$name" "${out//$'\n'/\\n}"
}
while IFS=$'\t' read -r name sql; do
    [[ -n $sql && $name != \#* ]] || continue
    show "value.$name" -c "$sql"
    show "type.$name" <<<"$sql \\gdesc"
done <values.tsv
while IFS=$'\t' read -r name sql; do
    [[ -n $sql && $name != \#* ]] || continue
    show "message.$name" -v VERBOSITY=verbose -c "$sql"
done < <(sed 's/\r//' errors.tsv)
show rows -c 'SELECT * FROM every_type ORDER BY id'
show rows.x -x -c 'SELECT * FROM every_type ORDER BY id'
show rows.csv --csv -c 'SELECT * FROM every_type ORDER BY id'
show rows.html -H -c 'SELECT * FROM region ORDER BY 1'
show null -P null='(null)' -c 'SELECT id, c_text FROM every_type ORDER BY id'
printf 'fetch_count\t%s\n' "$(psql -X -At -v FETCH_COUNT=500 -c 'SELECT * FROM many ORDER BY id' 2>&1 | cksum)"
show parameters -At -v key=7 -v name=FRANCE -v column=n_name <<<"SELECT n_name FROM nation WHERE n_nationkey = :key OR n_name = :'name' ORDER BY :\"column\""
show bind -At -v ON_ERROR_STOP=1 <<<$'PREPARE p (int) AS SELECT n_name FROM nation WHERE n_nationkey = $1;\nEXECUTE p (7);\nDEALLOCATE p;'
show gset -At <<<$'SELECT count(*) AS n, max(n_name) AS m FROM nation \\gset\n\\echo :n :m'
show gexec -At <<<$'SELECT format(\'SELECT %L\', r_name) FROM region ORDER BY 1 \\gexec'
show crosstab <<<$'SELECT n_regionkey, left(n_name, 1), count(*) FROM nation GROUP BY 1, 2 ORDER BY 1, 2 \\crosstabview'
show copy -c '\copy (SELECT id, c_text, c_ints FROM every_type ORDER BY id) TO STDOUT CSV HEADER'
show transaction -At <<<$'BEGIN;\nSELECT 1 / 0;\nSELECT 1;\nROLLBACK;\nSELECT 2;'
show rollback.on.error -At -v ON_ERROR_ROLLBACK=on <<<$'BEGIN;\nSELECT 1 / 0;\nSELECT 1;\nCOMMIT;'
show declare -At <<<$'BEGIN;\nDECLARE c CURSOR FOR SELECT n_name FROM nation ORDER BY 1;\nFETCH 2 FROM c;\nMOVE 3 FROM c;\nFETCH 1 FROM c;\nCLOSE c;\nCOMMIT;'
for table in every_type many totals region orders; do
    show "describe.$table" -c "\\d $table"
    show "describe+.$table" -c "\\d+ $table"
done
for command in '\dt every_type' '\dv totals' '\dn public' '\d nosuch' '\dT nosuch' '\df nosuch' '\di every_type' '\ds nosuch' '\sv totals' '\z many' '\dd nosuch' '\du limnos' '\encoding'; do
    show "command.$command" -c "$command"
done
