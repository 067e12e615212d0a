-- drain.lua: deletes some of the entries that invalidated tags held.
--
-- apply.lua moves a large tag set aside and registers it in wtcache:drains, a
-- hash of that name and the tag.  This takes up to 1,000 members out of the
-- sets registered there, whoever did it, and deletes their entries and leases.
-- A member that the tag has again by now was stored anew and stays.  Called
-- until it returns 0.
--
-- Returns how many sets are left.

local LEASE, DRAINS = 'wtcache:lease:', 'wtcache:drains'
local budget, left = 1000, 0
local sets = redis.call('HGETALL', DRAINS)
for i = 1, #sets, 2 do
  local aside, tag = sets[i], sets[i + 1]
  if budget > 0 then
    local list, gone = redis.call('SPOP', aside, budget), {}
    budget = budget - #list
    for _, key in ipairs(list) do
      if redis.pcall('SISMEMBER', tag, key) ~= 1 then
        gone[#gone + 1] = key
        gone[#gone + 1] = LEASE .. key
      end
    end
    if #gone > 0 then
      redis.call('UNLINK', unpack(gone))
    end
  end
  if redis.call('EXISTS', aside) == 0 then
    redis.call('HDEL', DRAINS, aside)
  else
    left = left + 1
  end
end
return left
