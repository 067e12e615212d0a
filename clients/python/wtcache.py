"""Reads through the cache that wtcache keeps, with redis-py.

What is missing is loaded once, however many ask for it, and stored only if it is
not older than what has been committed meanwhile.  See clients/README.md, and
doc/readers.md for the protocol (version 1).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Optional, Union

import redis
import redis.asyncio
from redis.exceptions import NoScriptError

Text = Union[str, bytes]
Value = Union[Text, Mapping[str, Optional[Text]]]

#: What a load has read: the value as Redis is to hold it, and what
#: pg_current_wal_insert_lsn() returned, in the statement that read the value or in
#: one after it.  None, or a value that is None: there is no such row.
Loaded = Optional[tuple[Optional[Value], str]]

Tags = Union[Iterable[str], Callable[[Any], Iterable[str]]]

_MARK = re.compile(r'[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}')
_GLOB = re.compile(r'[*?[\]\\]')
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1


class _Protocol:
    """What a reader does, in steps.

    A step is a function without arguments that is yielded, for Cache to call and
    AsyncCache to call and await, and whose result or exception is what yield gives.
    """

    def __init__(
        self,
        client: redis.Redis | redis.asyncio.Redis,
        *,
        ttl: float | timedelta = 3600,
        wait: float = 5,
        tag_prefix: str = 'tag:',
        parse: Callable[[Text], Any] | None = None,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        """
        All times are in seconds.

        ttl: for values that get() gives none
        wait: how long to wait for what another reader loads
        tag_prefix: the setting wtcache.tag_prefix
        parse: makes what get() returns of a value, e.g. json.loads; not for hashes
        on_error: told why Redis could not be used
        """
        self._client = client
        self._ttl = ttl
        self._wait = wait
        self._tag_prefix = tag_prefix
        self._parse = parse
        self._on_error = on_error
        #: how often values were found, loaded, stored, not stored, and Redis failed
        self.stats = Counter(hits=0, loads=0, filled=0, refused=0, errors=0)

    _sleep: Callable[[float], Any]

    def _steps(
        self,
        key: str,
        load: Callable[[], Any],
        ttl: float | timedelta | None,
        tags: Tags,
        hash: bool,
        pattern: str | None,
    ) -> Generator[Callable[[], Any], Any, Any]:
        milliseconds = _milliseconds(self._ttl if ttl is None else ttl)
        found, value, lease = yield from self._find(key)
        if found:
            self.stats['hits'] += 1
            return value

        self.stats['loads'] += 1
        value, mark = (yield load) or (None, None)
        if value is None:
            yield from self._fill(key, lease, '0/0', milliseconds, (), pattern, ())
            return None
        if not isinstance(mark, str) or not _MARK.fullmatch(mark):
            raise ValueError(
                f'load() must return (value, mark), and {mark!r} is no mark: select '
                'pg_current_wal_insert_lsn() in the statement that reads the value'
            )
        stored = _fields(value) if hash else [_text(value)]
        value = self._read(stored if hash else stored[0])
        names = tags(value) if callable(tags) else tags
        if isinstance(names, (str, bytes)):
            raise TypeError(f'tags must be several names, not {names!r}')
        yield from self._fill(key, lease, mark, milliseconds, names, pattern, stored)
        return value

    def _find(self, key: str) -> Generator[Callable[[], Any], Any, tuple]:
        """Whether there is a value, the value (None: no row), a lease to load it"""
        deadline = time.monotonic() + self._wait
        pause = _FIRST_PAUSE
        try:
            while True:
                state, *more = yield from self._call(_GET, key)
                state = _decoded(state)
                left = deadline - time.monotonic()
                if state == 'hit':
                    return True, self._read(more[0]), None
                if state == 'absent':
                    return True, None, None
                if state == 'fill':
                    return False, None, more[0]
                if state == 'off' or state == 'wait' and left <= 0:
                    return False, None, None
                if state != 'wait':
                    raise redis.RedisError(f'unexpected answer: {state!r}')
                yield partial(self._sleep, min(pause, more[1] / 1000, left))
                pause = min(1.5 * pause, _LONGEST_PAUSE)
        except Exception as error:
            self._failed(error)
            return False, None, None

    def _fill(
        self,
        key: str,
        lease: Text | None,
        mark: str,
        milliseconds: int,
        tags: Iterable[str],
        pattern: str | None,
        stored: Iterable[Text],
    ) -> Generator[Callable[[], Any], Any, None]:
        if lease is None:
            return
        sets = [self._tag_prefix + tag for tag in tags]
        patterns = [_GLOB.sub(r'\\\g<0>', self._tag_prefix) + '*'] if sets else []
        if pattern is None:
            sets.append('wtcache:values')
        else:
            patterns.append(pattern)
        try:
            done, _ = yield from self._call(
                _FILL,
                key,
                lease,
                mark,
                milliseconds,
                len(sets),
                len(patterns),
                *sets,
                *patterns,
                *stored,
            )
            self.stats['filled' if done == 1 else 'refused'] += 1
        except Exception as error:
            self._failed(error)

    def _call(
        self, script: _Script, key: str, *args: Any
    ) -> Generator[Callable[[], Any], Any, list]:
        """The script's answer; by its name, or whole where Redis does not know that"""
        try:
            return (yield partial(self._client.evalsha, script.sha, 1, key, *args))
        except NoScriptError:
            return (yield partial(self._client.eval, script.body, 1, key, *args))

    def _failed(self, error: Exception) -> None:
        self.stats['errors'] += 1
        if self._on_error:
            self._on_error(error)

    def _read(self, stored: Text | list[Text]) -> Any:
        """What get() returns for what Redis holds, or is to hold"""
        if isinstance(stored, list):
            names = map(_decoded, stored[::2])
            return dict(zip(names, map(self._as_client, stored[1::2])))
        value = self._as_client(stored)
        return self._parse(value) if self._parse else value

    def _as_client(self, text: Text) -> Text:
        """bytes, or str where the client has decode_responses"""
        encoder = self._client.get_encoder()
        return encoder.decode(encoder.encode(text))


class Cache(_Protocol):
    """For redis.Redis"""

    _sleep = staticmethod(time.sleep)

    def get(
        self,
        key: str,
        load: Callable[[], Loaded],
        *,
        ttl: float | timedelta | None = None,
        tags: Tags = (),
        hash: bool = False,
        pattern: str | None = None,
    ) -> Any:
        """The value of a key, from Redis or else loaded, and then stored.

        None if there is none.  What load() raises is raised; Redis being away is not.

        ttl: 0: what is loaded is not to be stored
        tags: all tags of the value, or what makes them of it
        hash: the value is a mapping, and stored as a hash
        pattern: glob pattern of keys like this one, by which it is found when the cache
            has to be emptied; without it the key itself is noted
        """
        steps = self._steps(key, load, ttl, tags, hash, pattern)
        send, result = steps.send, None
        try:
            while True:
                step = send(result)
                try:
                    send, result = steps.send, step()
                except Exception as error:
                    send, result = steps.throw, error
        except StopIteration as end:
            return end.value


class AsyncCache(_Protocol):
    """For redis.asyncio.Redis"""

    _sleep = staticmethod(asyncio.sleep)

    async def get(
        self,
        key: str,
        load: Callable[[], Awaitable[Loaded]],
        *,
        ttl: float | timedelta | None = None,
        tags: Tags = (),
        hash: bool = False,
        pattern: str | None = None,
    ) -> Any:
        """As Cache.get(), with a load() that is awaited"""
        steps = self._steps(key, load, ttl, tags, hash, pattern)
        send, result = steps.send, None
        try:
            while True:
                step = send(result)
                try:
                    send, result = steps.send, await step()
                except Exception as error:
                    send, result = steps.throw, error
        except StopIteration as end:
            return end.value


def _milliseconds(ttl: float | timedelta) -> int:
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if not 0 <= seconds < math.inf:
        raise ValueError(f'ttl must be a number of seconds, not {ttl!r}')
    return math.ceil(1000 * seconds)


def _text(value: Any) -> Text:
    if not isinstance(value, (str, bytes)):
        raise TypeError(
            f'value must be str or bytes, not {type(value).__name__}: '
            'select row_to_json(...)::text'
        )
    return value


def _fields(value: Mapping[str, Text | None]) -> list[Text]:
    """Fields and values by turns, without those that are None"""
    parts = {name: _text(part) for name, part in value.items() if part is not None}
    if not parts:
        raise ValueError('value has no fields')
    return [text for part in parts.items() for text in part]


def _decoded(text: Text) -> str:
    return text.decode() if isinstance(text, bytes) else text


class _Script:
    def __init__(self, body: str) -> None:
        self.body = body
        self.sha = hashlib.sha1(body.encode()).hexdigest()


# get.lua and fill.lua, put here by clients/embed

_GET = _Script(r'''

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
''')

_FILL = _Script(r'''

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
''')
