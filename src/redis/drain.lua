-- drain.lua: deletes some of the entries that invalidated tags held.
--
-- apply.lua moves a large tag set aside and registers it in wtcache:drains, a
-- hash of that name and, behind a 1 for a replay or else a 0, the tag.  This
-- takes up to 1,000 members out of the sets registered there, whoever did it,
-- and deletes their entries and leases.  A member that the tag has again by now
-- was stored anew and stays.  So does, where it is a replay, what was committed
-- after the tag's last invalidation: it joins the tag again.  Called until it
-- returns 0.
--
-- Returns how many sets are left.

local LEASE, DRAINS = 'wtcache:lease:', 'wtcache:drains'
local CUR, PREV = 'wtcache:fence:0', 'wtcache:fence:1'
local RECORD = 28    -- of a push, without what tells of its commit
local call, try = redis.call, redis.pcall
local budget, left = 1000, 0

-- Which of these members were committed no earlier than the tag's record says?
local function newer(tag, list)
  local fields = {'\0b', '\0t' .. tag, unpack(list)}
  local c, p = try('HMGET', CUR, unpack(fields)), try('HMGET', PREV, unpack(fields))
  local result = {}
  if c.err or p.err or not (c[1] and p[1]) then
    return result
  end
  if tonumber(p[1]) > tonumber(c[1]) then
    c, p = p, c
  end
  local invalidated = c[2] or p[2]
  for i = 3, #fields do
    local rec = c[i] or p[i]
    local tail = rec and #rec - RECORD
    result[fields[i]] = invalidated and rec and rec >= '2' and
      string.sub(rec, 2, RECORD - tail) .. string.sub(rec, RECORD + 1) >=
      invalidated
  end
  return result
end

-- The member joins the tag again, which outlives it by a minute.  False: it
-- cannot, and would never be found again.
local function rejoin(tag, key)
  local life = call('PTTL', key)
  if life == -2 then
    return true
  elseif type(try('SADD', tag, key)) == 'table' then
    return false
  end
  if life > 0 then
    call('PEXPIRE', tag, life + 60000, 'GT')
    if call('SCARD', tag) == 1 then
      call('PEXPIRE', tag, life + 60000)
    end
  end
  return true
end

local sets = call('HGETALL', DRAINS)
for i = 1, #sets, 2 do
  local aside, replay = sets[i], string.sub(sets[i + 1], 1, 1) == '1'
  local tag = string.sub(sets[i + 1], 2)
  if budget > 0 then
    local list, gone = call('SPOP', aside, budget), {}
    budget = budget - #list
    local stays = replay and #list > 0 and newer(tag, list) or {}
    for _, key in ipairs(list) do
      if not (stays[key] and rejoin(tag, key)) and
        try('SISMEMBER', tag, key) ~= 1 then
        gone[#gone + 1] = key
        gone[#gone + 1] = LEASE .. key
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
