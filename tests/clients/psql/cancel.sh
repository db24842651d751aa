# Ctrl-C stops a long query within seconds, says so as PostgreSQL does, and the session goes on.
began=$SECONDS
out=$(timeout --signal=INT 2 psql -X -c "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11" 2>&1 || true)
grep -q 'canceling statement due to user request' <<<"$out" || { echo "$out"; exit 1; }
((SECONDS - began < 8)) || { echo "took $((SECONDS - began)) s"; exit 1; }
# Nothing of it runs on.
[[ $(psql -X -At -c "SELECT count(*) FROM system.queries WHERE state = 'RUNNING' AND sql LIKE '%generate_series(1, 1000000)%' AND sql NOT LIKE '%system.queries%'") == 0 ]]
