-- expel.lua: deletes keys that have been found to be nobody's.
--
--   KEYS     the keys
--   ARGV     when each was found to expire, as PEXPIRETIME tells
--
-- Whoever stores a key gives it another time, so what has been stored since it
-- was looked at stays.  No version is recorded: nothing has been changed.
--
-- Returns for each key 1 if it was deleted, else 0.

local gone = {}
for i, key in ipairs(KEYS) do
  gone[i] = 0
  if redis.call('PEXPIRETIME', key) == tonumber(ARGV[i]) then
    gone[i] = redis.call('UNLINK', key)
  end
end
return gone
