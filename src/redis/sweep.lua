-- sweep.lua: deletes what a lost part of a timeline has written (R25).
--
--   KEYS[1]  one of the fence hashes
--   KEYS[2]  the other one
--   ARGV[1]  cursor, 0 to begin with
--   ARGV[2]  version of the point where the timeline was left
--   ARGV[3]  version of the beginning of the next one
--
-- Every key that was committed between the two, according to its record, goes,
-- with its lease and with the record, unless the other hash knows of a commit on
-- the next timeline.
-- Called until the cursor is 0 again.
--
-- Returns { cursor, deleted }.

-- Where it was committed: the end of the record tells in what that differs from
-- where it was written; see apply.lua.
local function committed(record)
  local tail = #record - 28
  return string.sub(record, 2, 28 - tail) .. string.sub(record, 29)
end

local r = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 500)
local keys, gone, records = {}, {}, {}
for i = 1, #r[2], 2 do
  local field, version = r[2][i], r[2][i + 1]
  local iskey = string.sub(field, 1, 1) ~= '\0'
  if iskey then
    version = committed(version)
  end
  if (iskey or string.sub(field, 1, 2) == '\0t') and version > ARGV[2] and
    version < ARGV[3] then
    records[#records + 1] = field
    if iskey then
      keys[#keys + 1] = field
    end
  end
end
if #keys > 0 then
  local other = redis.call('HMGET', KEYS[2], unpack(keys))
  for i, key in ipairs(keys) do
    if not other[i] or committed(other[i]) < ARGV[3] then
      gone[#gone + 1] = key
      gone[#gone + 1] = 'wtcache:lease:' .. key
    end
  end
end
if #gone > 0 then
  redis.call('UNLINK', unpack(gone))
end
if #records > 0 then
  redis.call('HDEL', KEYS[1], unpack(records))
end
return {r[1], #gone / 2}
