# Sourced by checks that need a server with TLS and logins: starts one on a free port with a folder of certificates, and
# stops it at the end of the check. Sets TLS_PORT and TLS_DIR (ca.pem, server.pem, ann.pem, ann.key, ...).
TLS_DIR=$(mktemp -d)
TLS_SERVER=
stop_tls_server() {
    if [[ -n $TLS_SERVER ]]; then
        kill -TERM "$TLS_SERVER" 2>/dev/null && wait "$TLS_SERVER" || true
    fi
    rm -rf "$TLS_DIR"
}
trap stop_tls_server EXIT

# sign NAME SUBJECT [SUBJECTALTNAME]: NAME.pem and NAME.key, signed by the authority.
sign() {
    openssl req -new -newkey rsa:2048 -nodes -keyout "$TLS_DIR/$1.key" -subj "$2" -out "$TLS_DIR/$1.csr" 2>/dev/null
    chmod 600 "$TLS_DIR/$1.key"
    openssl x509 -req -in "$TLS_DIR/$1.csr" -CA "$TLS_DIR/ca.pem" -CAkey "$TLS_DIR/ca.key" -CAcreateserial -days 2 \
        ${4:-"-sha256"} -extfile <(echo "subjectAltName=${3:-DNS:none.example}") -out "$TLS_DIR/$1.pem" 2>/dev/null
}

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$TLS_DIR/ca.key" -subj "/CN=Limnos checks" -days 2 \
    -out "$TLS_DIR/ca.pem" 2>/dev/null
sign server "/CN=localhost" "DNS:localhost,IP:127.0.0.1" "${TLS_HASH:--sha256}"
sign ann "/CN=ann"
sign eve "/CN=eve"

TLS_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$TLS_DIR/limnos.toml" <<TOML
data_dir = "$TLS_DIR/data"
pg = "127.0.0.1:$TLS_PORT"
http = "127.0.0.1:0"
[users]
limnos = "correct horse"
bob = "staple"
[tls]
certificate = "$TLS_DIR/server.pem"
key = "$TLS_DIR/server.key"
client_ca = "$TLS_DIR/ca.pem"
[[hba]]
type = "hostssl"
role = "ann"
method = "cert"
[[hba]]
type = "hostssl"
role = ["limnos", "bob"]
method = "scram-sha-256"
[[hba]]
role = "bob"
address = "loopback"
method = "scram-sha-256"
[[hba]]
role = "mallory"
method = "reject"
TOML
# The demo's HTTP address, which the checks are told by a name that is also a setting.
env -u LIMNOS_HTTP "$LIMNOS_BINARY" serve --config "$TLS_DIR/limnos.toml" >"$TLS_DIR/server.log" 2>&1 &
TLS_SERVER=$!
for _ in $(seq 300); do
    pg_isready --quiet -h 127.0.0.1 -p "$TLS_PORT" && break
    kill -0 "$TLS_SERVER" 2>/dev/null || { cat "$TLS_DIR/server.log"; exit 1; }
    sleep 0.1
done
