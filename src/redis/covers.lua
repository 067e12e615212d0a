-- covers.lua: does the fence have a record of everything that was written with
-- a version above a certain one?
--
--   KEYS[1], KEYS[2]  the two fence hashes
--   KEYS[3]           the list of "time version" that position.lua keeps
--   ARGV[1]           the version
--
-- The fence vouches for what was created after its floor; the list says what
-- time it was, on this server, when the log had come to the version.
--
-- Returns 1 or 0.

local a = redis.pcall('HMGET', KEYS[1], '\0b', '\0s')
local b = redis.pcall('HMGET', KEYS[2], '\0b', '\0s')
if a.err or b.err or not (a[1] and a[2] and b[1] and b[2]) then
  return 0
end
local floor = math.max(math.min(a[1], b[1]), a[2], b[2])
local list = redis.pcall('LRANGE', KEYS[3], 0, -1)
if list.err then
  return 0
end
for _, entry in ipairs(list) do
  local at, version = string.match(entry, '^(%d+) (%d+)$')
  if version and version <= ARGV[1] then
    return tonumber(at) > floor and 1 or 0
  end
end
return 0
