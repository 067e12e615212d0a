-- store.lua: stores a value where readers fill what is missing.
--
--   KEYS[1]  the key
--   ARGV[1]  version of the operation
--   ARGV[2]  time to live, milliseconds
--   ARGV[3..]  the value; or fields and values of a hash, which has been deleted
--
-- A reader may have filled the key with a row that is newer than the one of this
-- operation, whose push comes late: what is not newer than the mark of fill.lua
-- deletes the key, and leaves the mark for others that are late.
--
-- Nothing is written before the value, or a full server would take it.
--
-- Returns 1: stored; 0: deleted.

local key, mark = KEYS[1], 'wtcache:mark:' .. KEYS[1]

-- positions have up to 20 digits, more than a number of Lua can hold
local function less(a, b)
  if #a ~= #b then
    return #a < #b
  end
  return a < b
end

local seen = redis.pcall('GET', mark)
if type(seen) == 'string' and not less(seen, ARGV[1]) then
  redis.call('UNLINK', key)
  return 0
end
if #ARGV == 3 then
  redis.call('SET', key, ARGV[#ARGV], 'PX', ARGV[2])
else
  redis.call('HSET', key, unpack(ARGV, 3))
  redis.call('PEXPIRE', key, ARGV[2])
end
if seen then
  redis.call('UNLINK', mark)
end
return 1
