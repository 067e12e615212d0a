-- drain.lua: deletes some of the entries that an invalidated tag held.
--
-- apply.lua moves a large tag set aside to wtcache:drain:<version>:<number>;
-- this takes up to 1,000 members out of those sets and deletes their entries
-- and leases.  Called until it returns 0.
--
--   ARGV[1]  version of the batch
--   ARGV[2]  how many tags the batch invalidates
--
-- Returns how many members are left.

local LEASE = 'wtcache:lease:'
local ver, ntags = ARGV[1], tonumber(ARGV[2])
local budget, left = 1000, 0
for i = 0, ntags - 1 do
  local aside = 'wtcache:drain:' .. ver .. ':' .. i
  if budget > 0 then
    local list = redis.call('SPOP', aside, budget)
    local n = #list
    if n > 0 then
      budget = budget - n
      for j = 1, n do
        list[n + j] = LEASE .. list[j]
      end
      redis.call('UNLINK', unpack(list))
    end
  end
  left = left + redis.call('SCARD', aside)
end
return left
