/*
 * wtcache.mjs: reads through the cache that wtcache keeps, with ioredis or
 * node-redis.  What is missing is loaded once, however many ask for it, and
 * stored only if it is not older than what has been committed meanwhile.
 *
 * See clients/README.md, and doc/readers.md for the protocol (version 1).
 */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What a load has read: `value` as Redis is to hold it, and as `mark` what
 * pg_current_wal_insert_lsn() returned, in the statement that read the value or in
 * one after it.  Nothing, or a value that is null: there is no such row.
 *
 * @typedef {string | Uint8Array} Text
 * @typedef {{ value: Text | Record<string, Text | null> | null, mark: string }} Loaded
 *
 * All times are in seconds.
 *
 * @typedef {object} CacheOptions
 * @property {number} [ttl]  for values that get() gives none; 3600
 * @property {number} [wait]  how long to wait for what another reader loads; 5
 * @property {number} [timeout]  how long to wait for an answer of Redis; 1
 * @property {string} [tagPrefix]  the setting wtcache.tag_prefix; "tag:"
 * @property {boolean} [buffers]  whether values are Buffers, not strings
 * @property {(value: any) => any} [parse]  makes what get() returns of a value, e.g.
 *   JSON.parse; not called for hashes
 * @property {(error: Error) => void} [onError]  told why Redis could not be used
 *
 * @typedef {object} GetOptions
 * @property {number} [ttl]  0: what is loaded is not to be stored
 * @property {string[] | ((value: any) => string[])} [tags]  all tags of the value, or
 *   what makes them of it
 * @property {boolean} [hash]  the value is an object, and stored as a hash
 * @property {string} [pattern]  glob pattern of keys like this one, by which it is found
 *   when the cache has to be emptied; without it the key itself is noted
 */

const MARK = /^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/i;
const FIRST_PAUSE = 0.005;
const LONGEST_PAUSE = 0.1;

export class Cache {
  /** How often values were found, loaded, stored, not stored, and Redis failed */
  stats = { hits: 0, loads: 0, filled: 0, refused: 0, errors: 0 };

  #options;
  #evalsha;
  #eval;

  /**
   * @param {any} redis  a client of ioredis or of node-redis
   * @param {CacheOptions} [options]
   */
  constructor(redis, {
    ttl = 3600, wait = 5, timeout = 1, tagPrefix = 'tag:', buffers = false,
    parse = (value) => value, onError = () => {},
  } = {}) {
    this.#options = { ttl, wait, timeout, tagPrefix, buffers, parse, onError };
    if (typeof redis.evalSha === 'function') {
      // by number, for a constant would have to be imported: RESP_TYPES.BLOB_STRING
      const client = buffers ? redis.withTypeMapping({ 36: Buffer }) : redis;
      this.#evalsha = (sha, key, args) => client.evalSha(sha, { keys: [key], arguments: args });
      this.#eval = (text, key, args) => client.eval(text, { keys: [key], arguments: args });
    } else {
      const suffix = buffers ? 'Buffer' : '';
      this.#evalsha = (sha, key, args) => redis[`evalsha${suffix}`](sha, 1, key, ...args);
      this.#eval = (text, key, args) => redis[`eval${suffix}`](text, 1, key, ...args);
    }
  }

  /**
   * The value of a key, from Redis or else loaded, and then stored.  What load()
   * throws is thrown; Redis being away is not.
   *
   * @param {string} key
   * @param {() => Promise<Loaded | null | undefined> | Loaded | null | undefined} load
   * @param {GetOptions} [options]
   * @returns {Promise<any>}  null if there is none
   */
  async get(key, load, { ttl = this.#options.ttl, tags = [], hash = false, pattern } = {}) {
    if (!(ttl >= 0 && ttl < Infinity)) {
      throw new RangeError(`ttl must be a number of seconds, not ${ttl}`);
    }
    const found = await this.#find(key);

    if (found.value !== undefined) {
      this.stats.hits++;
      return found.value;
    }
    this.stats.loads++;
    const loaded = await load();

    if (loaded?.value == null) {
      await this.#fill(key, found.lease, '0/0', ttl, [], pattern, []);
      return null;
    }
    if (!MARK.test(loaded.mark)) {
      throw new TypeError(
        `load() must return { value, mark }, and "${loaded.mark}" is no mark: select ` +
          'pg_current_wal_insert_lsn() AS mark in the statement that reads the value',
      );
    }
    const stored = hash ? fields(loaded.value) : text(loaded.value);
    const value = this.#read(stored);
    const names = typeof tags === 'function' ? tags(value) : tags;

    await this.#fill(key, found.lease, loaded.mark, ttl, names, pattern, [stored].flat());
    return value;
  }

  /** A value, null if there is none; or a lease; or neither */
  async #find(key) {
    const deadline = performance.now() / 1000 + this.#options.wait;

    try {
      for (let pause = FIRST_PAUSE; ; pause = Math.min(1.5 * pause, LONGEST_PAUSE)) {
        const [state, what, ms] = await this.#call(GET, key);
        const left = deadline - performance.now() / 1000;

        switch (String(state)) {
          case 'hit':
            return { value: this.#read(what) };
          case 'absent':
            return { value: null };
          case 'fill':
            return { lease: what };
          case 'off':
            return {};
          case 'wait':
            if (left <= 0) return {};
            await sleep(1000 * Math.min(pause, ms / 1000, left));
            break;
          default:
            throw new Error(`unexpected answer from Redis: "${state}"`);
        }
      }
    } catch (error) {
      return this.#failed(error);
    }
  }

  async #fill(key, lease, mark, ttl, tags, pattern, stored) {
    if (lease === undefined) return;
    const { tagPrefix } = this.#options;
    const sets = tags.map((tag) => tagPrefix + tag);
    const patterns = sets.length > 0 ? [tagPrefix.replace(/[*?[\]\\]/g, '\\$&') + '*'] : [];

    if (pattern === undefined) sets.push('wtcache:values');
    else patterns.push(pattern);
    try {
      const [done] = await this.#call(
        FILL, key, lease, mark, String(Math.ceil(1000 * ttl)), String(sets.length),
        String(patterns.length), ...sets, ...patterns, ...stored,
      );

      this.stats[Number(done) === 1 ? 'filled' : 'refused']++;
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error) {
    this.stats.errors++;
    this.#options.onError(error);
    return {};
  }

  /** What get() returns for what Redis holds, or is to hold */
  #read(stored) {
    const as = this.#options.buffers
      ? (part) => Buffer.from(part)
      : (part) => (typeof part === 'string' ? part : Buffer.from(part).toString());

    if (!Array.isArray(stored)) return this.#options.parse(as(stored));
    const names = stored.filter((_, i) => i % 2 === 0);

    return Object.fromEntries(names.map((name, i) => [String(name), as(stored[2 * i + 1])]));
  }

  /** The script's answer; by its name, or where Redis has no script of that name whole */
  #call({ body, sha }, key, ...args) {
    const { timeout } = this.#options;
    let timer;

    return Promise.race([
      this.#evalsha(sha, key, args).catch((error) => {
        if (!error.message.startsWith('NOSCRIPT')) throw error;
        return this.#eval(body, key, args);
      }),
      new Promise((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`no answer from Redis within ${timeout} s`)), 1000 * timeout);
      }),
    ]).finally(() => clearTimeout(timer));
  }
}

function text(value) {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value);
  throw new TypeError('value must be a string or bytes: select row_to_json(...)::text AS value');
}

/** Fields and values by turns, without those that are null */
function fields(value) {
  const parts = Object.entries(value).filter(([, part]) => part != null);

  if (parts.length === 0) throw new TypeError('value has no fields');
  return parts.flatMap(([name, part]) => [name, text(part)]);
}

function script(body) {
  return { body, sha: createHash('sha1').update(body).digest('hex') };
}

// get.lua and fill.lua, put here by clients/embed

const GET = script(String.raw`

local LEASES, VERSION = 'wtcache:leases', '1'
local call, try = redis.call, redis.pcall
local key, name = KEYS[1], 'wtcache:lease:' .. KEYS[1]

local value = try('GET', key)
if type(value) == 'table' then
  value = call('HGETALL', key)
end
if value then
  return {'hit', value}
end

local token, setting = try('GET', 'wtcache:token'), try('HMGET', LEASES,
  'version', 'ttl', 'closed')
if type(token) ~= 'string' or setting[1] ~= VERSION or setting[3] or
  not string.match(token, '^%d+ %d+ %d+ %d+$') then
  return {'off'}
end
local lease = try('GET', name)
if type(lease) == 'string' then
  local word, given = string.match(lease, '^(%w+) (.*)$')
  local left = call('PTTL', name)
  if given == token and left > 0 then
    return {word == 'absent' and word or 'wait', '', left}
  end
end

local tick = try('HINCRBY', LEASES, 'tick', 1)
if type(tick) ~= 'number' then
  return {'off'}
end
lease = string.format('%.0f %s', tick, token)
if try('SET', name, lease, 'PX', setting[2]).err then
  return {'off'}
end
return {'fill', lease, tonumber(setting[2])}
`);

const FILL = script(String.raw`

local LEASES, VERSION, OUTLIVES_MS = 'wtcache:leases', '1', 60000
local PATTERNS, VALUES = 'wtcache:patterns', 'wtcache:values'
local call, try = redis.call, redis.pcall
local key, lease = KEYS[1], ARGV[1]
local name = 'wtcache:lease:' .. key
local ttl, nsets, npatterns = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if not ttl or not nsets or not npatterns or 5 + nsets + npatterns > #ARGV then
  return redis.error_reply('ERR time to live, number of sets and number of patterns are expected')
end
local patterns = 6 + nsets
local value = patterns + npatterns

local function answer(done, word)
  try('HINCRBY', 'wtcache:fills', word, 1)
  return {done, word}
end

local function refuse(word)
  call('UNLINK', name)
  return answer(0, word)
end

local function decimal(high, low)
  local q, r = math.floor(high / 65536), high % 65536
  local rest = q * 4976710656 + r * 4294967296 + low
  local head = q * 28147 + math.floor(rest / 10000000000)
  rest = rest % 10000000000
  return head > 0 and string.format('%.0f%010.0f', head, rest) or
    string.format('%.0f', rest)
end

if try('GET', name) ~= lease then
  return answer(0, 'lease')
end
local tick, token = string.match(lease, '^(%d+) (.*)$')
local timeline = token and string.match(token, '^%d+ (%d+) %d+ %d+$')
if not timeline or token ~= try('GET', 'wtcache:token') or
  try('HGET', LEASES, 'version') ~= VERSION then
  return refuse('token')
end
if ttl == 0 then
  call('UNLINK', name)
  return answer(1, 'returned')
end
local high, low = string.match(ARGV[2], '^(%x+)/(%x+)$')
if not high or #high > 8 or #low > 8 then
  return refuse('mark')
end
if call('EXISTS', key) == 1 then
  return refuse('present')
end
for i = 6, patterns - 1 do
  local at = call('HGET', LEASES, string.sub(redis.sha1hex(ARGV[i]), 1, 3))
  if at and tonumber(at) > tonumber(tick) then
    return refuse('tag')
  end
end
if #ARGV < value then
  if try('SET', name, 'absent ' .. token, 'KEEPTTL').err then
    return refuse('full')
  end
  return answer(1, 'absent')
end

local mark = decimal(tonumber(high, 16), tonumber(low, 16))
local life = string.format('%.0f', ttl + OUTLIVES_MS)
if try('SET', 'wtcache:mark:' .. key, mark, 'PX', life).err then
  return refuse('full')
end
if try('HEXISTS', 'wtcache:position', 'journal') == 1 and type(try('RPUSH',
  'wtcache:journal', timeline .. ' ' .. mark .. ' ' .. key)) == 'table' then
  return refuse('journal')
end
if npatterns > 0 and
  type(try('SADD', PATTERNS, unpack(ARGV, patterns, value - 1))) == 'table' then
  return refuse('tag')
end
local grown = {}
for i = 6, patterns - 1 do
  local set = ARGV[i]
  local added = try('SADD', set, key)
  if type(added) == 'table' then
    return refuse('tag')
  elseif added == 1 then
    grown[#grown + 1] = set
  end
  if set ~= VALUES then
    call('PEXPIRE', set, life, 'NX')
    call('PEXPIRE', set, life, 'GT')
  end
end
if #ARGV == value then
  call('SET', key, ARGV[value], 'PX', ARGV[3])
else
  call('HSET', key, unpack(ARGV, value))
  call('PEXPIRE', key, ARGV[3])
end
for _, set in ipairs(grown) do
  for _, member in ipairs(call('SRANDMEMBER', set, 2)) do
    if try('EXISTS', member) == 0 then
      call('SREM', set, member)
    end
  end
end
call('UNLINK', name)
return answer(1, 'filled')
`);
