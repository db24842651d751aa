// node-postgres: simple and extended queries, its own type parsers, named statements, a cursor, a stream, a pool.
import { lines, say, ENDLESS, TABLES, digest } from './shared.mjs';
import pg from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';

async function attempt(name, run) {
  try {
    say(name, await run());
  } catch (error) {
    say(name, `error ${error.code}`);
  }
}

const client = new pg.Client();
await client.connect();
for (const [name, sql] of lines('values')) {
  await attempt(`value.${name}`, async () => {
    const result = await client.query({ text: sql, rowMode: 'array' });
    const field = result.fields[0];
    say(`type.${name}`, [field.name, field.dataTypeID, field.dataTypeSize, field.dataTypeModifier]);
    return result.rows[0][0];
  });
  await attempt(`extended.${name}`, async () => (await client.query({ text: sql, values: [], queryMode: 'extended', rowMode: 'array' })).rows[0][0]);
}
for (const [name, kind, value] of [
  ['bool', 'boolean', true], ['int', 'int', 7], ['large', 'bigint', '9007199254740993'], ['float', 'double precision', 0.1],
  ['numeric', 'numeric(10,2)', '1.25'], ['text', 'text', "it's"], ['date', 'date', '2024-02-29'], ['timestamptz', 'timestamptz', new Date(0)],
  ['bytea', 'bytea', Buffer.from([0, 255])], ['uuid', 'uuid', '00000000-0000-0000-0000-000000000007'], ['json', 'json', { a: 1 }],
  ['ints', 'int[]', [1, null, 2]], ['texts', 'text[]', ['a', 'b c', 'q"r']], ['null', 'int', null],
]) {
  await attempt(`parameter.${name}`, async () => (await client.query({ text: `SELECT $1::${kind}`, values: [value], rowMode: 'array' })).rows[0][0]);
}
await attempt('where', async () => (await client.query('SELECT count(*) FROM orders WHERE o_orderdate >= $1 AND o_totalprice < $2', ['1995-06-01', 100000])).rows);
await attempt('rows', async () => (await client.query('SELECT * FROM every_type ORDER BY id')).rows);
for (const [name, sql] of lines('errors')) {
  try {
    await client.query(sql);
    say(`error.${name}`, 'none');
  } catch (error) {
    say(`error.${name}`, error.code);
    say(`message.${name}`, error.message);
    say(`position.${name}`, error.position);
    say(`severity.${name}`, error.severity);
  }
}
for (let key = 0; key < 8; key += 1) {
  await attempt(`named.${key}`, async () => (await client.query({ name: 'nation', text: 'SELECT n_name FROM nation WHERE n_nationkey = $1', values: [key] })).rows);
}
await attempt('several', async () => (await client.query('SELECT 1 AS a; SELECT 2 AS b')).map((result) => [result.command, result.rowCount, result.rows]));
await attempt('empty', async () => (await client.query('')).rowCount);
await attempt('all', async () => digest((await client.query({ text: 'SELECT * FROM many ORDER BY id', rowMode: 'array' })).rows));
await attempt('cursor', async () => {
  const cursor = client.query(new Cursor('SELECT * FROM many ORDER BY id', [], { rowMode: 'array' }));
  const rows = [];
  for (;;) {
    const part = await cursor.read(777);
    if (part.length === 0) break;
    rows.push(...part);
  }
  await cursor.close();
  return digest(rows);
});
await attempt('cursor.early', async () => {
  const cursor = client.query(new Cursor('SELECT * FROM many ORDER BY id'));
  const part = await cursor.read(2);
  await cursor.close();
  return part;
});
await attempt('stream', async () => {
  const rows = [];
  for await (const row of client.query(new QueryStream('SELECT * FROM many ORDER BY id', [], { batchSize: 500, rowMode: 'array' }))) rows.push(row);
  return digest(rows);
});
await client.query('BEGIN');
await attempt('transaction.error', () => client.query('SELECT 1 / 0'));
await attempt('transaction.aborted', () => client.query('SELECT 1'));
await attempt('transaction.rollback', async () => (await client.query('ROLLBACK')).command);
await attempt('transaction.after', async () => (await client.query('SELECT 1 AS one')).rows);
await attempt('tables', async () => (await client.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name = ANY($1) ORDER BY 1", [TABLES])).rows);
{
  const { rows: [{ pid }] } = await client.query('SELECT pg_backend_pid() AS pid');
  const other = new pg.Client();
  await other.connect();
  // Awaited before its connection ends: the cancelled query may be answered first.
  const cancelled = new Promise((done) => setTimeout(done, 500)).then(() => other.query('SELECT pg_cancel_backend($1)', [pid])).catch((error) => say('cancel.refused', error.code));
  await client.query('SET statement_timeout = 5000');
  await attempt('cancel', () => client.query(ENDLESS));
  await attempt('cancel.after', async () => (await client.query('SELECT 1 AS one')).rows);
  await cancelled;
  await other.end();
}
await client.end();
const pool = new pg.Pool({ max: 10 });
const sums = await Promise.all([...Array(36).keys()].map((n) => pool.query('SELECT sum(o_totalprice) AS s FROM orders WHERE month = $1', [1 + (n % 12)])));
say('pool', sums.slice(0, 12).map((result) => result.rows[0].s));
await pool.end();
