# \x, \timing, \copy to, variables, CSV and unaligned output, exit status.
grep -q 'RECORD 1' < <(psql -X -c '\x' -c 'SELECT 1 AS one, NULL AS none')
grep -qE '^Time: [0-9.]+ ms' < <(psql -X -c '\timing' -c 'SELECT 1')
[[ $(psql -X -At -c "SELECT 1, NULL, 'x y', true, DATE '2024-02-29', 1.50::numeric(4,2)") == "1||x y|t|2024-02-29|1.50" ]]
[[ $(psql -X --csv -c "SELECT 'a,b' AS t, 'c\"d' AS u") == $'t,u\n"a,b","c""d"' ]]
[[ $(psql -X -At -v n=5 <<<'SELECT :n + 1;') == 6 ]]
[[ $(psql -X -At -c "SELECT 1; SELECT 2") == $'1\n2' ]]
[[ $(printf 'SELECT 1;\nSELECT nope;\nSELECT 2;\n' | psql -X -At 2>/dev/null) == $'1\n2' ]]
status=0
printf 'SELECT 1;\nSELECT nope;\nSELECT 2;\n' | psql -X -At -v ON_ERROR_STOP=1 >/dev/null 2>&1 || status=$?
((status == 3))
# The caret stands under the mistake.
out=$(psql -X -c 'SELECT nope FROM nation' 2>&1 || true)
grep -q 'ERROR:  column "nope" does not exist' <<<"$out"
grep -qE '^LINE 1: SELECT nope FROM nation' <<<"$out"
grep -qE '^ +\^' <<<"$out"
out=$(psql -X -c 'SELECT * FROM natoin' 2>&1 || true)
grep -q 'ERROR:  relation "natoin" does not exist\|ERROR:  table ".*natoin" does not exist' <<<"$out"
grep -q 'HINT:.*nation' <<<"$out"
psql -X -v ON_ERROR_STOP=1 -q -c 'BEGIN' -c 'SELECT 1' -c 'COMMIT' >/dev/null
