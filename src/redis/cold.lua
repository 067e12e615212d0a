-- cold.lua: makes the cache cold, a step at a time.
--
--   ARGV[1]  cursor, 0 to begin with
--   ARGV[2]  glob pattern of the keys that may be ours
--
-- Whatever wtcache stores has a time to live, so what has none belongs to
-- somebody else and stays; so does what position.lua and the fence keep.
-- Called until the cursor is 0 again.
--
-- Returns { cursor, deleted }.

local r = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 500)
local gone = {}
for _, key in ipairs(r[2]) do
  if string.sub(key, 1, 8) == 'wtcache:' then
    if string.sub(key, 1, 14) == 'wtcache:lease:' or
      string.sub(key, 1, 13) == 'wtcache:drain' then
      gone[#gone + 1] = key
    end
  elseif redis.call('PTTL', key) >= 0 then
    gone[#gone + 1] = key
  end
end
if #gone > 0 then
  redis.call('UNLINK', unpack(gone))
end
return {r[1], #gone}
