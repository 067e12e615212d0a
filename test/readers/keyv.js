/*
 * Keyv: its values stand in {"value": ...}, so it is told to read them bare.
 */
'use strict';

const { createKeyv } = require('@keyv/redis');

const [path, key] = process.argv.slice(2);

async function read(configure)
{
	const keyv = createKeyv({ socket: { path } });

	keyv.on('error', (error) => { throw error; });
	configure(keyv);
	const value = await keyv.get(key);

	await keyv.disconnect();
	return value;
}

(async () => {
	const plain = await read(() => {});

	console.log(`default: ${plain === undefined ? 'nothing' : JSON.stringify(plain)}`);
	const value = await read((keyv) => {
		keyv.deserialize = (text) => ({ value: JSON.parse(text) });
	});

	console.log(`${value.name} ${value.price + 1} ${value.at}`);
})();
