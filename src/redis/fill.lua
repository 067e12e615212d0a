-- fill.lua: stores what a reader has read under the lease of get.lua.
--
--   KEYS[1]  the key
--   ARGV[1]  the lease
--   ARGV[2]  the mark: pg_current_wal_insert_lsn(), selected with the row
--   ARGV[3]  time to live in milliseconds; 0: store nothing, give the lease back
--   ARGV[4]  how many sets of tags follow
--   ARGV[5]  how many patterns follow
--   ARGV[6..]  the sets; the patterns; then the value, or fields and values of a hash,
--            or nothing: there is nothing to store, which is noted for the lease's time
--
-- For readers in any language, version 1 of the protocol in doc/readers.md.
--
-- The mark is the latest position that the value may be of.  It stays beside the
-- value, so that a push of something older does not replace it (store.lua), and
-- is its place in the journal.  The patterns match the key, and the sets: what has to
-- be deleted if all of the cache is to be emptied.  wtcache:values, which lists
-- single keys for that, may be among the sets.
--
-- Returns { done, word }: 1 and what was done, or 0 and why nothing was.  The words
-- are counted in wtcache:fills.

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

-- A position as push and journal write it; a number of Lua cannot hold it.
local function decimal(high, low)
  local q, r = math.floor(high / 65536), high % 65536
  -- 2^48 is 28147 * 10^10 + 4976710656
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

-- the first write is what a full server refuses, before anything is done
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
  -- a set that has no time to live gets one; one that has, only a longer
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
-- members whose keys have expired, in proportion to those that are added
for _, set in ipairs(grown) do
  for _, member in ipairs(call('SRANDMEMBER', set, 2)) do
    if try('EXISTS', member) == 0 then
      call('SREM', set, member)
    end
  end
end
call('UNLINK', name)
return answer(1, 'filled')
