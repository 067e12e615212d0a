/*
 * Does what test/t/186_clients.pl tells it, with a client of ours and one of the
 * libraries that it is for.
 *
 *	driver.mjs LIBRARY SOCKET [PREFIX]
 *
 * Each line of standard input is a request, in JSON:
 *	key, ttl, tags, hash	for get(); tags may be "category": that of the value
 *	sql						what load() runs; it selects value and mark
 *	n						so many at once; 1
 *	pause					load() prints "loaded" and waits for another line
 *	wait, timeout, binary, parse		options of the client, or of the library
 * For each get() it prints a line: value, or error, and stats.
 */
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { Cache } from '../../clients/js/wtcache.mjs';

// finds what is in NODE_PATH, as import does not
const require = createRequire(import.meta.url);
const pg = require('pg');

const [library, path, prefix] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const pool = new pg.Pool();

async function connect()
{
	let redis;

	if (library === 'ioredis')
	{
		const Redis = require('ioredis');

		redis = new Redis({ path, keyPrefix: prefix });
		redis.on('error', () => {});
		return redis;
	}
	redis = require('redis').createClient({
		socket: { path },
		...(library === 'node-redis 2' ? { RESP: 2 } : {}),
	});
	redis.on('error', () => {});
	await redis.connect();
	return redis;
}

const redis = await connect();

async function get({ key, sql, pause, wait, timeout, binary, parse, ttl, tags, hash })
{
	const cache = new Cache(redis, {
		wait,
		timeout,
		buffers: binary,
		parse: parse ? JSON.parse : undefined,
	});
	const result = {};

	try
	{
		const value = await cache.get(key, async () => {
			const { rows } = await pool.query(sql);

			if (pause)
			{
				console.log('loaded');
				await lines.next();
			}
			return rows[0];
		}, {
			ttl,
			hash,
			tags: tags === 'category' ? (row) => [`cat:${row.cat}`] : tags,
		});

		result.value = binary ? value.toString('hex') : value;
	}
	catch (error)
	{
		result.error = `${error.name}: ${error.message}`;
	}
	console.log(JSON.stringify({ ...result, stats: cache.stats }));
}

console.log('ready');
for (let line = await lines.next(); !line.done; line = await lines.next())
{
	const request = { n: 1, wait: 60, timeout: 20, ...JSON.parse(line.value) };

	await Promise.all(Array.from({ length: request.n }, () => get(request)));
}
process.exit();
