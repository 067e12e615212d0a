-- trim.lua: takes from the journal what no promotion needs any more.
--
--   KEYS[1]  the journal
--   KEYS[2]  the position
--   ARGV[1]  the token that must hold
--   ARGV[2]  entries up to this position may go
--   ARGV[3]  no more than this many entries may stay
--
-- The position's field "journal" says from where on the journal is complete; it
-- is raised over what is taken out.
--
-- Returns how many entries were taken out; called again while that is 1000.

local STEP = 1000
local call = redis.call
if call('GET', 'wtcache:token') ~= ARGV[1] then
  return 0
end

-- positions have up to 20 digits, more than a number of Lua can hold
local function less(a, b)
  if #a ~= #b then
    return #a < #b
  end
  return a < b
end

local since = call('HGET', KEYS[2], 'journal') or '0'
local surplus = call('LLEN', KEYS[1]) - tonumber(ARGV[3])
local n = 0
for _, entry in ipairs(call('LRANGE', KEYS[1], 0, STEP - 1)) do
  local lsn = string.match(entry, '^%d+ (%d+) ') or '0'
  if less(ARGV[2], lsn) and n >= surplus then
    break
  end
  n = n + 1
  if less(since, lsn) then
    since = lsn
  end
end
if n > 0 then
  call('LTRIM', KEYS[1], n, -1)
  call('HSET', KEYS[2], 'journal', since)
end
return n
