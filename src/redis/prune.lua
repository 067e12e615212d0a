-- prune.lua: takes members out of a tag's set whose keys are gone.
--
--   KEYS[1]  the set
--   ARGV[1]  how many members to look at, at random
--
-- Keys expire and are evicted without leaving their tags.  Called once in so
-- many insertions, it keeps the dead members in proportion to the living.
--
-- Returns how many were taken out.

local dead = {}
for _, key in ipairs(redis.call('SRANDMEMBER', KEYS[1], ARGV[1])) do
  if redis.call('EXISTS', key) == 0 then
    dead[#dead + 1] = key
  end
end
return #dead > 0 and redis.call('SREM', KEYS[1], unpack(dead)) or 0
