/*
 * node.js
 *	  The load of load.c as a service in Node.js does it, with pg and ioredis.
 *
 * Takes the same options as load.c (but for -m and -f) and prints the same
 * line.  One process; each client has a connection to PostgreSQL of its own,
 * and all share one to Redis, as is usual.  Statements are prepared, and each
 * transaction is between BEGIN and COMMIT.  After it the rows of RETURNING are
 * cached: SET with EX, SADD and EXPIRE in one pipeline.
 */
'use strict';

const { parseArgs } = require('node:util');
const { Client } = require('pg');
const Redis = require('ioredis');

const WARMUP = 1000;				// transactions before the clock starts: the code
								// has to be compiled as well
const BATCH = 1000;				// keys per pipeline
const ENTRY_TTL = 3600;
const TAG_TTL = 3660;

const option = (short, other) => ({ type: 'string', short, default: other });
const { values: options } = parseArgs({
	options: {
		conninfo: option('d', ''), socket: option('s', ''),
		table: option('b', 'products'), workload: option('w', 'update'),
		clients: option('c', '1'), seconds: option('t', '3'),
		count: option('n', '0'), rows: option('r', '100000'),
	},
});
const { table, workload } = options;
const conninfo = Object.fromEntries(
	options.conninfo.split(' ').map((pair) => pair.split('=')));
const nrows = Number(options.rows);
const tag = `tag:${table}`;

const columns = 'id, name, price, stock, description, updated_at';
const sql = {
	update: `UPDATE ${table} SET price = $2, stock = $3, updated_at = now()
		WHERE id = $1 RETURNING ${columns}`,
	insert: `INSERT INTO ${table} (name, price, stock, description, updated_at)
		VALUES ($1, $2, $3, repeat('lorem ipsum dolor si', 10), now())
		RETURNING ${columns}`,
	bulk: `UPDATE ${table} SET price = price + 0.01, updated_at = now()
		RETURNING ${columns}`,
};

const roll = (n) => Math.floor(Math.random() * n);
const price = () => (1 + roll(999) + roll(100) / 100).toFixed(2);

const redis = new Redis(options.socket);

async function execute(pg, name, values)
{
	return (await pg.query({ name, text: sql[name], values })).rows;
}

const updateRow = (pg, id) => execute(pg, 'update', [id, price(), roll(1000)]);

async function statements(pg)
{
	switch (workload) {
	case 'update':
		return updateRow(pg, 1 + roll(nrows));
	case 'hot':
		return updateRow(pg, 1 + roll(10));
	case 'insert':
		return execute(pg, 'insert',
			[`Product ${roll(1000000)}`, price(), roll(1000)]);
	case 'bulk':
		return execute(pg, 'bulk', []);
	case 'ten': {
		const ids = Array.from({ length: 10 }, () => 1 + roll(nrows));
		const rows = [];

		for (const id of ids.sort((a, b) => a - b))		// no deadlocks
			rows.push(...await updateRow(pg, id));
		return rows;
	}
	default:
		throw new Error(`unknown workload "${workload}"`);
	}
}

async function cache(rows)
{
	for (let first = 0; first < rows.length; first += BATCH) {
		const pipeline = redis.pipeline();
		const keys = [];

		for (const row of rows.slice(first, first + BATCH)) {
			const key = `${table}:${row.id}`;

			pipeline.set(key, JSON.stringify(row), 'EX', ENTRY_TTL);
			keys.push(key);
		}
		pipeline.sadd(tag, ...keys).expire(tag, TAG_TTL);
		for (const [error] of await pipeline.exec())
			if (error)
				throw error;
	}
}

async function transaction(pg)
{
	await pg.query('BEGIN');
	const rows = await statements(pg);
	await pg.query('COMMIT');
	await cache(rows);
}

async function main()
{
	const pgs = Array.from({ length: Number(options.clients) }, () => new Client({
		host: conninfo.host, port: conninfo.port,
		user: conninfo.user, database: conninfo.dbname,
	}));
	const most = Number(options.count) || Infinity;
	const samples = [];

	await Promise.all(pgs.map(async (pg) => {
		await pg.connect();
		for (let i = 0; i < (workload === 'bulk' ? 0 : WARMUP / pgs.length); i++)
			await transaction(pg);
	}));

	const start = performance.now();
	const deadline = most < Infinity ? Infinity : start + options.seconds * 1000;
	const rates = await Promise.all(pgs.map(async (pg) => {
		let n = 0;
		let last = start;

		while (last < deadline && n < most) {
			await transaction(pg);
			const now = performance.now();

			samples.push((now - last) * 1000);
			last = now;
			n++;
		}
		return n / (last - start) * 1000;
	}));
	const tps = rates.reduce((a, b) => a + b);

	samples.sort((a, b) => a - b);
	const percentile = (p) => samples[Math.floor(p * (samples.length - 1))].toFixed();

	console.log(`tps=${tps.toFixed(2)} n=${samples.length} p50=${percentile(0.5)}`
		+ ` p95=${percentile(0.95)} p99=${percentile(0.99)}`);
	await Promise.all(pgs.map((pg) => pg.end()));
	redis.disconnect();
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
