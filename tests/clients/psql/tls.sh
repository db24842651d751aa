# TLS, channel binding, client certificates and the rules of [[hba]] with libpq.
source tests/clients/tls_server.sh
unset PGHOST PGPORT PGUSER PGDATABASE
export PGPASSWORD='correct horse'
base="host=localhost hostaddr=127.0.0.1 port=$TLS_PORT dbname=lake sslrootcert=$TLS_DIR/ca.pem"

# fails WORDS CONNINFO: it is refused, and says why.
fails() {
    out=$(psql -X -w -c 'SELECT 1' "$2" 2>&1) && { echo "should have failed: $2"; exit 1; }
    grep -qF "$1" <<<"$out" || { echo "expected \"$1\" for $2: $out"; exit 1; }
}

full="$base user=limnos sslmode=verify-full"
[[ $(psql -XAt -c 'SELECT ssl, version, bits FROM pg_stat_ssl WHERE pid = pg_backend_pid()' "$full channel_binding=require") == 't|TLSv1.3|256' ]]
# \conninfo says so as well.
psql -X -c '\conninfo' "$full" | grep -q 'SSL connection (protocol: TLSv1.3, cipher: TLS_AES_256_GCM_SHA384'
psql -X -c '\conninfo' "$full ssl_max_protocol_version=TLSv1.2 channel_binding=require" | grep -q 'protocol: TLSv1.2, cipher: ECDHE-RSA-AES256-GCM-SHA384'
psql -XAt -c 'SELECT 1' "$full channel_binding=disable" >/dev/null
psql -XAt -c 'SELECT 1' "$full host=127.0.0.1" >/dev/null
# The name in the certificate is checked by the client.
fails 'does not match host name' "${full/host=localhost/host=elsewhere.example}"
fails 'password authentication failed for user "limnos"' "$full password=wrong"
fails 'password authentication failed for user "bob"' "$base user=bob sslmode=require password=wrong"

# Large answers, and large statements.
[[ $(psql -XAt -c "SELECT repeat('x', 1000) FROM generate_series(1, 20000)" "$full" | wc -c) == 20020000 ]]

# A certificate logs in its role, and no other.
ann="sslmode=verify-full sslcert=$TLS_DIR/ann.pem sslkey=$TLS_DIR/ann.key"
[[ $(psql -XAtw -c 'SELECT current_user' "$base user=ann $ann") == ann ]]
fails 'certificate authentication failed for user "ann"' "$base user=ann sslmode=require sslcert=$TLS_DIR/eve.pem sslkey=$TLS_DIR/eve.key"
fails 'connection requires a valid client certificate' "$base user=ann sslmode=require sslcert=/nosuch"

# Rules.
fails 'no hba entry for host "127.0.0.1", user "limnos", database "lake", no encryption' "$base user=limnos sslmode=disable"
fails 'hba rule rejects connection for host "127.0.0.1", user "mallory", database "lake", SSL encryption' "$base user=mallory sslmode=require"
[[ $(PGPASSWORD=staple psql -XAt -c 'SELECT current_user' "$base user=bob sslmode=disable") == bob ]]

# A new certificate while sessions are open; SIGHUP is not the end.
coproc session { psql -XAt "$full" 2>&1; }
echo 'SELECT 1;' >&"${session[1]}"
read -r -t 10 answer <&"${session[0]}" && [[ $answer == 1 ]]
before=$(openssl x509 -in "$TLS_DIR/server.pem" -noout -serial)
sign server "/CN=localhost" "DNS:localhost,IP:127.0.0.1" -sha384
[[ $(openssl x509 -in "$TLS_DIR/server.pem" -noout -serial) != "$before" ]]
kill -HUP "$TLS_SERVER"
psql -XAt -c 'SELECT 1' "$full channel_binding=require" >/dev/null
echo 'SELECT 2;' >&"${session[1]}"
read -r -t 10 answer <&"${session[0]}" && [[ $answer == 2 ]]
echo 'broken' >"$TLS_DIR/server.pem"
psql -XAt -c 'SELECT 1' "$full channel_binding=require" >/dev/null
grep -q "new TLS files can't be used" "$TLS_DIR/server.log"

# What is broken from the start stops it, and is named.
kill -TERM "$TLS_SERVER" && wait "$TLS_SERVER"
TLS_SERVER=
out=$("$LIMNOS_BINARY" serve --config "$TLS_DIR/limnos.toml" 2>&1) && { echo "it started"; exit 1; }
grep -qF "TLS certificate file \"$TLS_DIR/server.pem\" holds no certificate" <<<"$out" || { echo "$out"; exit 1; }
sign server "/CN=localhost"
chmod 644 "$TLS_DIR/server.key"
out=$("$LIMNOS_BINARY" serve --config "$TLS_DIR/limnos.toml" 2>&1) && { echo "it started"; exit 1; }
grep -qF "TLS key file \"$TLS_DIR/server.key\" has group or world access" <<<"$out" || { echo "$out"; exit 1; }
