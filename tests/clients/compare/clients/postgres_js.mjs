// postgres.js: extended queries only, parameter types asked of the server, pipelining, cursors, array types introspected.
import { lines, say, ENDLESS, TABLES, digest } from './shared.mjs';
import postgres from 'postgres';

async function attempt(name, run) {
  try {
    say(name, await run());
  } catch (error) {
    say(name, `error ${error.code}`);
  }
}

const notices = [];
const sql = postgres({ host: process.env.PGHOST, port: Number(process.env.PGPORT), database: process.env.PGDATABASE, username: process.env.PGUSER, max: 3, onnotice: (notice) => notices.push([notice.code, notice.message]) });
for (const [name, text] of lines('values')) {
  await attempt(`value.${name}`, async () => {
    const result = await sql.unsafe(text, [], { prepare: true }).values();
    say(`type.${name}`, result.columns.map((column) => [column.name, column.type]));
    return result[0][0];
  });
}
await attempt('parameter.compared', () => sql`SELECT n_name FROM nation WHERE n_nationkey = ${7}`);
await attempt('parameter.text', () => sql`SELECT n_nationkey FROM nation WHERE n_name = ${'FRANCE'}`);
await attempt('parameter.date', () => sql`SELECT count(*) FROM orders WHERE o_orderdate >= ${new Date('1995-06-01')}`);
await attempt('parameter.numeric', () => sql`SELECT count(*) FROM orders WHERE o_totalprice < ${'100000.5'}`);
await attempt('parameter.list', () => sql`SELECT n_nationkey FROM nation WHERE n_name IN ${sql(['FRANCE', 'GERMANY'])} ORDER BY 1`);
await attempt('parameter.array', () => sql`SELECT n_nationkey FROM nation WHERE n_name = ANY(${['FRANCE', 'GERMANY']}) ORDER BY 1`);
await attempt('parameter.bool', () => sql`SELECT id FROM every_type WHERE c_bool = ${true}`);
await attempt('parameter.bytea', () => sql`SELECT id FROM every_type WHERE c_bytea = ${Buffer.from([0, 255])}`);
await attempt('parameter.null', () => sql`SELECT ${null}::int AS nothing`);
await attempt('parameter.json', () => sql`SELECT ${sql.json({ a: 1 })}::json AS json`);
await attempt('parameter.untyped', () => sql`SELECT ${'x'} AS x`);
await attempt('limit', () => sql`SELECT n_name FROM nation ORDER BY n_name LIMIT ${2} OFFSET ${1}`);
await attempt('fragment', () => sql`SELECT ${sql(['n_name', 'n_regionkey'])} FROM ${sql('nation')} ${sql`WHERE n_nationkey < ${2}`} ORDER BY 1`);
await attempt('rows', () => sql`SELECT * FROM every_type ORDER BY id`);
await attempt('describe', async () => {
  const { types, columns } = await sql`SELECT * FROM every_type WHERE id = ${1} AND c_text = ${'x'}`.describe();
  return [types, columns.map((column) => [column.name, column.type])];
});
for (const [name, text] of lines('errors')) {
  try {
    await sql.unsafe(text);
    say(`error.${name}`, 'none');
  } catch (error) {
    say(`error.${name}`, error.code);
    say(`position.${name}`, error.position);
  }
}
await attempt('pipelined', () => sql.begin((tx) => [...Array(20).keys()].map((n) => tx`SELECT ${n}::int AS n`)).then((all) => all.map((rows) => rows[0].n)));
await attempt('parallel', async () => (await Promise.all([...Array(30).keys()].map((n) => sql`SELECT n_name FROM nation WHERE n_nationkey = ${n % 25}`))).map((rows) => rows[0].n_name));
await attempt('cursor', async () => {
  const rows = [];
  await sql`SELECT * FROM many ORDER BY id`.values().cursor(777, (part) => { rows.push(...part); });
  return digest(rows);
});
await attempt('cursor.early', async () => {
  for await (const [row] of sql`SELECT * FROM many ORDER BY id`.cursor()) return row;
  return null;
});
await attempt('for each', async () => {
  const rows = [];
  await sql`SELECT * FROM many ORDER BY id`.forEach((row) => { rows.push(row); });
  return digest(rows);
});
await attempt('copy', async () => {
  const parts = [];
  for await (const part of await sql`COPY (SELECT id, c_text FROM every_type ORDER BY id) TO STDOUT`.readable()) parts.push(part);
  return Buffer.concat(parts).toString();
});
await attempt('transaction.error', () => sql.begin(async (tx) => { await tx`SELECT 1`; await tx`SELECT 1 / 0`; }));
await attempt('transaction.savepoint', () => sql.begin((tx) => tx.savepoint((inner) => inner`SELECT 1 AS one`)));
await attempt('transaction.readonly', () => sql.begin('read only', (tx) => tx`SHOW transaction_read_only`));
await attempt('cancel', async () => {
  const query = sql.unsafe(ENDLESS);
  setTimeout(() => query.cancel(), 500);
  await query;
  return 'not cancelled';
});
await attempt('cancel.after', () => sql`SELECT 1 AS one`);
await attempt('simple', () => sql`SELECT 1 AS a; SELECT 2 AS b`.simple());
await attempt('tables', () => sql`SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name = ANY(${TABLES}) ORDER BY 1`);
await sql`DROP TABLE IF EXISTS nosuch`;
say('notices', notices);
await sql.end({ timeout: 5 });
