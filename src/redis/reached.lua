-- reached.lua: is here all that was committed before a reader's token was made?
--
--   KEYS[1]  the position
--   ARGV[1]  what wtcache.token() has returned
--
-- For readers.  Writes nothing, so it may be called on a replica.
--
-- Returns 1 or 0.

local system, timeline, lsn =
  string.match(ARGV[1], '^([1-9]%d*)%-([1-9]%d*)%-([1-9]%d*)$')
if not system then
  return redis.error_reply('ERR malformed token')
end
local position = redis.call('HMGET', KEYS[1], 'system', 'timeline', 'lsn')
if position[1] ~= system or position[2] ~= timeline or not position[3] then
  return 0
end

-- positions have up to 20 digits, more than a number of Lua can hold
if #position[3] ~= #lsn then
  return #position[3] > #lsn and 1 or 0
end
return position[3] >= lsn and 1 or 0
