-- cold.lua: empties the cache, a step at a time.
--
--   ARGV[1]  cursor, 0 to begin with
--   ARGV[2]  the token that must hold
--   ARGV[3]  glob pattern of the keys that may be wtcache's; empty: those of what
--            wtcache.set() has stored
--
-- A pattern is forgotten once it is done, and so are those keys.
--
-- A value that a reader has filled goes with its mark, without which a late push
-- could put something older in its place.
--
-- What wtcache stores has a time to live, so what has none belongs to another
-- application and stays; so do the keys by which wtcache keeps order, but for
-- those of the first format.  Called until the cursor is 0 again.
--
-- Returns { cursor, deleted }, or { -1, 0 } if the token does not hold.

if redis.call('GET', 'wtcache:token') ~= ARGV[2] then
  return {-1, 0}
end
local r
if ARGV[3] == '' then
  local keys = redis.call('SPOP', 'wtcache:values', 500)
  r = {#keys > 0 and '1' or '0', keys}
else
  r = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[3], 'COUNT', 500)
end
local gone = {}
for _, key in ipairs(r[2]) do
  local filled = string.match(key, '^wtcache:mark:(.*)$')
  if filled then
    gone[#gone + 1] = key
    key = filled
  end
  if string.sub(key, 1, 8) == 'wtcache:' then
    if string.sub(key, 1, 14) == 'wtcache:lease:' or
      string.sub(key, 1, 13) == 'wtcache:drain' or
      key == 'wtcache:fence:0' or key == 'wtcache:fence:1' or
      key == 'wtcache:watermark' or key == 'wtcache:positions' then
      gone[#gone + 1] = key
    end
  elseif redis.call('PTTL', key) >= 0 then
    gone[#gone + 1] = key
  end
end
if #gone > 0 then
  redis.call('UNLINK', unpack(gone))
end
if r[1] == '0' and ARGV[3] ~= '' then
  redis.call('SREM', 'wtcache:patterns', ARGV[3])
end
return {r[1], #gone}
