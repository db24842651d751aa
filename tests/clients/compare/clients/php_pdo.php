<?php
// PHP: PDO with statements prepared on the server and put together by the client, and the pgsql extension's metadata.

function plain($value): string
{
    if (is_resource($value)) $value = 'bytes ' . bin2hex(stream_get_contents($value));
    if (is_array($value)) {
        $parts = [];
        foreach ($value as $key => $each) $parts[] = (is_int($key) ? '' : "$key: ") . plain($each);
        return '[' . implode(', ', $parts) . ']';
    }
    return str_replace("\n", '\n', var_export($value, true));
}

function say(string $key, $value): void { echo "$key\t", plain($value), "\n"; }

function attempt(string $key, callable $run): void
{
    try {
        say($key, $run());
    } catch (PDOException $error) {
        say($key, 'error ' . ($error->errorInfo[0] ?? $error->getMessage()));
    }
}

function lines(string $name): array
{
    $found = [];
    foreach (file(getenv('LIMNOS_CLIENTS_HERE') . "/$name.tsv", FILE_IGNORE_NEW_LINES) as $line)
        if ($line !== '' && $line[0] !== '#') $found[] = explode("\t", $line, 2);
    return $found;
}

$place = 'host=' . getenv('PGHOST') . ';port=' . getenv('PGPORT') . ';dbname=' . getenv('PGDATABASE');
$db = new PDO("pgsql:$place", getenv('PGUSER'), null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
foreach (lines('values') as [$name, $sql])
    attempt("value.$name", function () use ($db, $name, $sql) {
        $query = $db->prepare($sql);
        $query->execute();
        $meta = $query->getColumnMeta(0);
        say("type.$name", [$meta['name'], $meta['native_type'] ?? null, $meta['pgsql:oid'], $meta['len'], $meta['precision']]);
        return $query->fetch(PDO::FETCH_NUM)[0];
    });
foreach (['server' => false, 'emulated' => true] as $way => $emulated) {
    $db->setAttribute(PDO::ATTR_EMULATE_PREPARES, $emulated);
    $run = function (string $sql, array $values) use ($db) {
        $query = $db->prepare($sql);
        $query->execute($values);
        return $query->fetchAll(PDO::FETCH_ASSOC);
    };
    attempt("$way.rows", fn() => $run('SELECT * FROM every_type ORDER BY id', []));
    attempt("$way.parameters", fn() => $run('SELECT ?::int + 1 AS a, ?::text AS b, ?::date AS c, ?::numeric(10,2) AS d, ?::int AS e', [7, "it's", '2024-02-29', '1.25', null]));
    attempt("$way.named", fn() => $run('SELECT count(*) AS n FROM orders WHERE o_orderdate >= :since AND o_totalprice < :price', ['since' => '1995-06-01', 'price' => 100000]));
    attempt("$way.limit", fn() => $run('SELECT n_name FROM nation ORDER BY n_name LIMIT 2 OFFSET 3', []));
    attempt("$way.many", fn() => substr(hash('sha256', serialize($run('SELECT * FROM many ORDER BY id', []))), 0, 16));
}
foreach (lines('errors') as [$name, $sql])
    attempt("error.$name", fn() => $db->exec($sql));
attempt('transaction', function () use ($db) {
    $db->beginTransaction();
    try { $db->query('SELECT 1 / 0'); } catch (PDOException $error) { say('transaction.error', $error->errorInfo[0]); }
    try { $db->query('SELECT 1'); } catch (PDOException $error) { say('transaction.aborted', $error->errorInfo[0]); }
    $db->rollBack();
    return $db->query('SELECT 2')->fetchColumn();
});
attempt('persistent', fn() => (new PDO("pgsql:$place", getenv('PGUSER'), null, [PDO::ATTR_PERSISTENT => true]))->query('SELECT 1')->fetchColumn());

$plain = pg_connect(str_replace(';', ' ', $place) . ' user=' . getenv('PGUSER'));
foreach (['every_type', 'many'] as $table)
    say("meta.$table", array_map(fn($column) => array_diff_key($column, ['is base' => 0]), pg_meta_data($plain, $table) ?: []));
say('params', pg_fetch_all(pg_query_params($plain, 'SELECT n_name FROM nation WHERE n_nationkey = $1', [7])));
say('version', explode('.', pg_version($plain)['server'])[0]);
say('select', pg_select($plain, 'nation', ['n_nationkey' => 7]));
