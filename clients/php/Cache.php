<?php

declare(strict_types=1);

namespace Wtcache;

/**
 * Reads through the cache that wtcache keeps, with phpredis or Predis.
 *
 * What is missing is loaded once, however many ask for it, and stored only if it
 * is not older than what has been committed meanwhile.  See clients/README.md,
 * and doc/readers.md for the protocol (version 1).
 */
final class Cache
{
    private const MARK = '~^[0-9A-F]{1,8}/[0-9A-F]{1,8}$~iD';
    private const FIRST_PAUSE = 0.005;
    private const LONGEST_PAUSE = 0.1;

    /** @var array<string, int> how often values were found, loaded, stored, not stored, and Redis failed */
    public array $stats = ['hits' => 0, 'loads' => 0, 'filled' => 0, 'refused' => 0, 'errors' => 0];

    private \Redis|\Predis\ClientInterface|null $client = null;

    /**
     * All times are in seconds.
     *
     * @param \Redis|\Predis\ClientInterface|\Closure(): (\Redis|\Predis\ClientInterface) $redis a client, or what
     *     makes one when it is needed, and another when its connection was lost
     * @param float $ttl for values that get() gives none
     * @param float $wait how long to wait for what another reader loads
     * @param string $tagPrefix the setting wtcache.tag_prefix
     * @param ?\Closure(string): mixed $parse makes what get() returns of a value; not called for hashes
     * @param ?\Closure(\Throwable): void $onError told why Redis could not be used
     */
    public function __construct(
        private readonly \Redis|\Predis\ClientInterface|\Closure $redis,
        private readonly float $ttl = 3600,
        private readonly float $wait = 5,
        private readonly string $tagPrefix = 'tag:',
        private readonly ?\Closure $parse = null,
        private readonly ?\Closure $onError = null,
    ) {
    }

    /**
     * The value of a key, from Redis or else loaded, and then stored.
     *
     * What $load returns is ['value' => ..., 'mark' => ...], or an object with these
     * properties: the value as Redis is to hold it, and what pg_current_wal_insert_lsn()
     * returned, in the statement that read the value or in one after it.  Null, false, or
     * a value that is null: there is no such row.  What $load throws is thrown; Redis
     * being away is not.
     *
     * @param callable(): (array{value: string|array<string, ?string>|null, mark: string}|object|false|null) $load
     * @param ?float $ttl 0: what is loaded is not to be stored
     * @param list<string>|\Closure(mixed): list<string> $tags all tags of the value, or what makes them of it
     * @param bool $hash the value is an array, and stored as a hash
     * @param ?string $pattern glob pattern of keys like this one, by which it is found when the cache has to be
     *     emptied; without it the key itself is noted
     * @return mixed null if there is none
     */
    public function get(
        string $key,
        callable $load,
        ?float $ttl = null,
        array|\Closure $tags = [],
        bool $hash = false,
        ?string $pattern = null,
    ): mixed {
        $ttl ??= $this->ttl;
        if (!($ttl >= 0 && $ttl < INF)) {
            throw new \InvalidArgumentException("ttl must be a number of seconds, not $ttl");
        }
        [$found, $value, $lease] = $this->find($key);
        if ($found) {
            $this->stats['hits']++;
            return $value;
        }

        $this->stats['loads']++;
        $loaded = (array) ($load() ?: []);
        $value = $loaded['value'] ?? null;
        if ($value === null) {
            $this->fill($key, $lease, '0/0', $ttl, [], $pattern, []);
            return null;
        }
        $mark = $loaded['mark'] ?? null;
        if (!is_string($mark) || !preg_match(self::MARK, $mark)) {
            throw new \UnexpectedValueException(
                '$load must return a value and a mark, and ' . json_encode($mark) . ' is no mark: select '
                . 'pg_current_wal_insert_lsn() AS mark in the statement that reads the value'
            );
        }
        $stored = $hash ? self::fields($value) : self::text($value);
        $value = $this->read($stored);
        $names = $tags instanceof \Closure ? $tags($value) : $tags;
        $this->fill($key, $lease, $mark, $ttl, $names, $pattern, (array) $stored);
        return $value;
    }

    /** @return array{bool, mixed, ?string} whether there is a value, the value (null: no row), a lease to load it */
    private function find(string $key): array
    {
        $deadline = hrtime(true) / 1e9 + $this->wait;
        $pause = self::FIRST_PAUSE;
        try {
            while (true) {
                [$state, $what, $ms] = $this->call(GET, $key) + [null, null, 0];
                $left = $deadline - hrtime(true) / 1e9;
                switch ($state) {
                    case 'hit':
                        return [true, $this->read($what), null];
                    case 'absent':
                        return [true, null, null];
                    case 'fill':
                        return [false, null, $what];
                    case 'off':
                        return [false, null, null];
                    case 'wait':
                        if ($left <= 0) {
                            return [false, null, null];
                        }
                        usleep((int) (1e6 * min($pause, $ms / 1000, $left)));
                        $pause = min(1.5 * $pause, self::LONGEST_PAUSE);
                        break;
                    default:
                        throw new \UnexpectedValueException('unexpected answer from Redis: ' . json_encode($state));
                }
            }
        } catch (\Throwable $error) {
            $this->failed($error);
            return [false, null, null];
        }
    }

    /**
     * @param list<string> $tags
     * @param list<string> $stored
     */
    private function fill(
        string $key,
        ?string $lease,
        string $mark,
        float $ttl,
        array $tags,
        ?string $pattern,
        array $stored,
    ): void {
        if ($lease === null) {
            return;
        }
        $sets = array_map(fn (string $tag): string => $this->tagPrefix . $tag, array_values($tags));
        $patterns = $sets === [] ? [] : [addcslashes($this->tagPrefix, '*?[]\\') . '*'];
        if ($pattern === null) {
            $sets[] = 'wtcache:values';
        } else {
            $patterns[] = $pattern;
        }
        $counts = [(string) count($sets), (string) count($patterns)];
        try {
            $args = [$lease, $mark, (string) (int) ceil(1000 * $ttl), ...$counts, ...$sets, ...$patterns, ...$stored];
            [$done] = $this->call(FILL, $key, ...$args);
            $this->stats[$done === 1 ? 'filled' : 'refused']++;
        } catch (\Throwable $error) {
            $this->failed($error);
        }
    }

    /** The script's answer; by its name, or whole where Redis does not know that */
    private function call(string $script, string $key, string ...$args): array
    {
        try {
            $answer = $this->send('evalsha', sha1($script), $key, $args);
        } catch (\Exception $error) {
            if (!str_starts_with($error->getMessage(), 'NOSCRIPT')) {
                throw $error;
            }
            $answer = $this->send('eval', $script, $key, $args);
        }
        return is_array($answer) ? $answer : [$answer];
    }

    /** @param list<string> $args */
    private function send(string $command, string $script, string $key, array $args): mixed
    {
        $client = $this->client ??= $this->redis instanceof \Closure ? ($this->redis)() : $this->redis;
        if (!$client instanceof \Redis) {
            return $client->$command($script, 1, $key, ...$args);
        }
        $client->clearLastError();
        try {
            $answer = $client->$command($script, [$key, ...$args], 1);
        } catch (\Exception $error) {
            // an answer that comes late would be taken for that of the next command
            $client->close();
            $this->client = null;
            throw $error;
        }
        if ($answer === false) {
            throw new \RedisException($client->getLastError() ?? 'no answer');
        }
        return $answer;
    }

    private function failed(\Throwable $error): void
    {
        $this->stats['errors']++;
        if ($this->onError) {
            ($this->onError)($error);
        }
    }

    /**
     * What get() returns for what Redis holds, or is to hold
     *
     * @param string|list<string> $stored
     */
    private function read(string|array $stored): mixed
    {
        if (is_array($stored)) {
            return array_column(array_chunk($stored, 2), 1, 0);
        }
        return $this->parse ? ($this->parse)($stored) : $stored;
    }

    private static function text(mixed $value): string
    {
        if (!is_string($value)) {
            throw new \UnexpectedValueException(
                'value must be a string, not ' . get_debug_type($value) . ': select row_to_json(...)::text AS value'
            );
        }
        return $value;
    }

    /** @return list<string> fields and values by turns, without those that are null */
    private static function fields(array $value): array
    {
        $stored = [];
        foreach ($value as $name => $part) {
            if ($part !== null) {
                array_push($stored, (string) $name, self::text($part));
            }
        }
        return $stored ?: throw new \UnexpectedValueException('value has no fields');
    }
}

// get.lua and fill.lua, put here by clients/embed

const GET = <<<'LUA'

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
LUA;

const FILL = <<<'LUA'

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
LUA;
