# A result of two million rows goes through in bounded memory of the server.
rss() { awk '/^VmRSS/ {print $2}' "/proc/$LIMNOS_SERVER_PID/status"; }
psql -X -q -c "SELECT count(*) FROM lineitem" >/dev/null
before=$(rss)
lines=$(psql -X -At -c "SELECT x, repeat('y', 50) FROM generate_series(1, 2000000) AS t(x)" | wc -l)
((lines == 2000000)) || { echo "$lines lines"; exit 1; }
grown=$((($(rss) - before) / 1024))
((grown < 200)) || { echo "the server grew by $grown MiB"; exit 1; }
