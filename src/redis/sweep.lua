-- sweep.lua: deletes what a lost part of a timeline has stored.
--
--   KEYS[1]  the journal
--   ARGV[1]  where to go on in it, 0 to begin with
--   ARGV[2]  the token that must hold
--   ARGV[3..]  by turns: a former timeline, and where it left this server's
--            history
--
-- What was committed on a former timeline beyond that point has never been, as
-- far as this server is concerned.  Called until it returns 0 to go on with.
--
-- Returns { where to go on, deleted }, or { -1, 0 } if the token does not hold.

local STEP = 1000
local from = tonumber(ARGV[1])
if redis.call('GET', 'wtcache:token') ~= ARGV[2] then
  return {-1, 0}
end

-- positions have up to 20 digits, more than a number of Lua can hold
local function less(a, b)
  if #a ~= #b then
    return #a < #b
  end
  return a < b
end

local left = {}
for i = 3, #ARGV, 2 do
  left[ARGV[i]] = ARGV[i + 1]
end
local entries = redis.call('LRANGE', KEYS[1], from, from + STEP - 1)
local gone, marks, at = {}, {}, {}
for i, entry in ipairs(entries) do
  local timeline, lsn, key = string.match(entry, '^(%d+) (%d+) (.*)$')
  if timeline and left[timeline] and less(left[timeline], lsn) then
    gone[#gone + 1] = key
    marks[#gone] = 'wtcache:mark:' .. key
    at[#at + 1] = from + i - 1
  end
end
local deleted = #gone > 0 and redis.call('UNLINK', unpack(gone)) or 0
if deleted > 0 then
  redis.call('UNLINK', unpack(marks))
end
-- what is stored under these keys from now on is another server's
for _, i in ipairs(at) do
  redis.call('LSET', KEYS[1], i, '0 0 ')
end
return {#entries == STEP and from + STEP or 0, deleted}
