-- drain.lua: deletes some of the entries that invalidated tags held.
--
-- forget.lua moves a large tag set aside and registers it in wtcache:drains, a
-- hash of its name and the tag.  This takes up to 1,000 members out of the sets
-- registered there, whichever session has registered them, and deletes their
-- entries.  A member that the tag has again by now was stored anew and stays.
-- Called until it returns 0.
--
-- Returns how many sets are left.

local DRAINS = 'wtcache:drains'
local call, try = redis.call, redis.pcall
local budget, left = 1000, 0

local sets = call('HGETALL', DRAINS)
for i = 1, #sets, 2 do
  local aside, tag = sets[i], sets[i + 1]
  if budget > 0 then
    local list, gone = call('SPOP', aside, budget), {}
    budget = budget - #list
    for _, key in ipairs(list) do
      if try('SISMEMBER', tag, key) ~= 1 then
        gone[#gone + 1] = key
      end
    end
    if #gone > 0 then
      call('UNLINK', unpack(gone))
    end
  end
  if call('EXISTS', aside) == 0 then
    call('HDEL', DRAINS, aside)
  else
    left = left + 1
  end
end
return left
