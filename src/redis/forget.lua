-- forget.lua: deletes keys, and all that stands under tags.
--
--   KEYS     keys to delete
--   ARGV[1]  the token that must hold (see push/token.h)
--   ARGV[2]  name that no other call uses, for what is set aside
--   ARGV[3..]  sets of the tags to invalidate
--
-- Inside a MULTI it invalidates tags.  By itself it is how keys are deleted on a
-- server that is full, which takes no MULTI, but does take a script whose first
-- write is one that frees memory.
--
-- Where readers fill what is missing (wtcache:leases exists), the leases of the keys
-- are void from now on, and so are those that were given before now for the tags,
-- whatever has been put under them: by the counter that fill.lua looks at.
--
-- A tag with more members than one call should delete is moved aside at once
-- and registered in wtcache:drains, for drain.lua to finish in steps.
--
-- Returns { done, wrong, draining }: whether the token held, how many of the
-- tags are no sets, and how many sets are left to drain.

local DRAINS, LEASES = 'wtcache:drains', 'wtcache:leases'
local LIMIT = 1000   -- members that one call may delete
local call, try = redis.call, redis.pcall

if call('GET', 'wtcache:token') ~= ARGV[1] then
  return {0, 0, 0}
end
call('UNLINK', 'wtcache:lease:', unpack(KEYS))
if type(try('HGET', LEASES, 'version')) == 'string' then
  for _, key in ipairs(KEYS) do
    call('UNLINK', 'wtcache:lease:' .. key)
  end
  local tick = #ARGV > 2 and call('HINCRBY', LEASES, 'tick', 1)
  for i = 3, #ARGV do
    call('HSET', LEASES, string.sub(redis.sha1hex(ARGV[i]), 1, 3), tick)
  end
end

local wrong, budget = 0, LIMIT
for i = 3, #ARGV do
  local tag = ARGV[i]
  local n = try('SCARD', tag)
  if type(n) == 'table' then
    wrong = wrong + 1
  elseif n > budget then
    -- registered first: what is aside and not registered would stay
    local aside = 'wtcache:drain:' .. ARGV[2] .. ':' .. tag
    if type(try('HSET', DRAINS, aside, tag)) == 'table' then
      call('UNLINK', DRAINS)
      call('HSET', DRAINS, aside, tag)
    end
    if call('EXISTS', aside) == 1 then
      call('SUNIONSTORE', aside, aside, tag)
      call('UNLINK', tag)
    else
      call('RENAME', tag, aside)
    end
  elseif n > 0 then
    budget = budget - n
    call('UNLINK', tag, unpack(call('SMEMBERS', tag)))
  end
end

local draining = 0
if #ARGV > 2 then
  draining = try('HLEN', DRAINS)
  if type(draining) == 'table' then
    call('UNLINK', DRAINS)
    draining = 0
  end
end
return {1, wrong, draining}
