-- apply.lua: applies one chunk of a batch, atomically, under the fence.
--
-- The contract (DESIGN: "What is in Redis"):
--
--   KEYS[1], KEYS[2]  the two fence hashes
--   KEYS[3..]         the key of each operation
--   ARGV[1]           version of the batch: 27 decimal digits
--   ARGV[2]           creation time of the batch, microseconds of this
--                     server's clock, as a lower bound
--   ARGV[3]           fence_ttl in microseconds; 0 switches the fence off
--                     (developers only: it is how the tests show that the
--                     fence is needed)
--   ARGV[4]           where the batch's transaction was committed, as a
--                     version: what tags go by
--   ARGV[5]           1 for a replay from WAL, else 0: then an invalidation
--                     spares what was committed after it, and what its own
--                     transaction has stored
--   ARGV[6]           how many tags to invalidate, then those tags
--   then per operation:
--     d nremoved removed...
--     s ttl life value             ntags tag... nremoved removed...
--     h ttl life nvalues f v f v.. ntags tag... nremoved removed...
--   where ttl is the key's time to live and life that of its tags' sets, in
--   milliseconds
--
-- Returns { now, stored, older, degraded, oom, wrongtype, failed, draining,
-- version, generation }.  Any of oom, wrongtype, failed above zero means that
-- something was deleted where it should have been stored.
--
-- A fence hash holds, beside the records, when it was begun (b), since when
-- the pair has been kept without loss (s), and the generation (g): a number
-- by which the replay worker recognises the server, see position.lua.  The half begun later takes
-- the records; when it is older than fence_ttl the other one is emptied and
-- takes its turn.  What was not created after floor = max(s, b of the older
-- half) may have been overtaken by a write whose record is gone: it only
-- deletes.  So does what was created later than now: the clock was set back.
--
-- A record is 1 and a version (a reader's fill), or 2, a version (a push), and
-- the digits at the end in which the place of its commit differs from that;
-- that of a tag is where its last invalidation was committed.  All are digits,
-- so that comparing strings, which Lua does by the server's locale, is
-- comparing numbers; a record is greater than what it begins with.
--
-- A key goes by the version of its batch: a lock on the row sees to the order
-- of those.  Nothing does for a tag and what is stored under it.  There the
-- order of the commits decides, which may be another one where a transaction
-- was prepared, or was large.
--
-- Nothing is written before everything is decided.  The first write is the
-- one that a full or read-only server refuses: an error then leaves no half.
-- The second deletes all that is not known to be newer: whatever fails after
-- that leaves a key absent, not old.

local LEASE, DRAINS = 'wtcache:lease:', 'wtcache:drains'
local LIMIT = 1000   -- members that one call may delete on behalf of a tag
local call, try, ARGV, KEYS = redis.call, redis.pcall, ARGV, KEYS
local ver, created, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local pushed, filled = '2' .. ver, '1' .. ver
local commit, replay, ninv = ARGV[4], ARGV[5] == '1', tonumber(ARGV[6])
local same = #ver
while string.sub(ver, 1, same) ~= string.sub(commit, 1, same) do
  same = same - 1
end
local record = pushed .. string.sub(commit, same + 1)
local nops = #KEYS - 2
local t = call('TIME')
local now = t[1] * 1000000 + t[2]

-- What to ask the fence: both marks, then a record per key, then per tag,
-- then the generation.
-- Keys and tags are text and hold no zero byte, so nothing can collide.
-- On the way, note where each operation's tags and removed tags stand.
local fields, nfields, tagpos = {'\0b', '\0s'}, nops + 2, {}
local at, tags, removed = {}, {}, {}
for i = 7, 6 + ninv do
  local tag = ARGV[i]
  if not tagpos[tag] then
    nfields = nfields + 1
    tagpos[tag] = nfields
    fields[nfields] = '\0t' .. tag
  end
end
local a = 7 + ninv
for i = 1, nops do
  fields[i + 2] = KEYS[i + 2]
  at[i] = a
  local kind = ARGV[a]
  if kind == 'd' then
    a = a + 1
  else
    if kind == 's' then
      a = a + 4
    else
      a = a + 4 + ARGV[a + 3]
    end
    if ARGV[a] ~= '0' then
      tags[i] = a
      for j = a + 1, a + ARGV[a] do
        local tag = ARGV[j]
        if not tagpos[tag] then
          nfields = nfields + 1
          tagpos[tag] = nfields
          fields[nfields] = '\0t' .. tag
        end
      end
      a = a + ARGV[a]
    end
    a = a + 1
  end
  if ARGV[a] ~= '0' then
    removed[i] = a
    a = a + ARGV[a]
  end
  a = a + 1
end
local gpos = nfields + 1
fields[gpos] = '\0g'

-- The pair.  A half of another type counts as missing.
local cur, prev = KEYS[1], KEYS[2]
local hc, hp, floor, generation, fresh, begin, since = {}, {}, 0, ''
if window > 0 then
  hc = try('HMGET', cur, unpack(fields))
  hp = try('HMGET', prev, unpack(fields))
  local bc, bp = tonumber(hc[1] or ''), tonumber(hp[1] or '')
  local sc, sp = tonumber(hc[2] or ''), tonumber(hp[2] or '')
  if not (bc and bp and sc and sp) then
    fresh = {cur, prev}
    hc, hp = {}, {}
    begin, since, floor = now, now, now
  else
    if bp > bc then
      cur, prev, hc, hp, bc, bp = prev, cur, hp, hc, bp, bc
    end
    since = math.max(sc, sp)
    generation = hc[gpos] or hp[gpos] or ''
    if now - bc >= window then
      cur, prev, hc, hp, bp = prev, cur, {}, hc, bc
      fresh = {cur}
      begin = now
    end
    floor = math.max(since, bp)
  end
end

-- Decide.
local recs, gone, store = {}, {}, {}
local older, degraded, stored = 0, 0, 0
for i = 7, 6 + ninv do
  local p = tagpos[ARGV[i]]
  local rec = hc[p] or hp[p]
  if not rec or rec < commit then
    recs[#recs + 1] = fields[p]
    recs[#recs + 1] = commit
  end
end
for i = 1, nops do
  local key = KEYS[i + 2]
  local rec = hc[i + 2] or hp[i + 2]
  local isdel = ARGV[at[i]] == 'd'
  -- A replay makes good what the push itself could only delete.
  local mend = replay and rec and not isdel and
    string.sub(rec, 1, #pushed) == pushed and call('EXISTS', key) == 0
  gone[#gone + 1] = LEASE .. key
  if rec and rec >= pushed and not mend then
    older = older + 1
    removed[i] = nil     -- a newer one has settled the tags
  else
    local keep = not isdel and created > floor and created <= now
    local newrec = record
    if rec and rec >= filled and rec < '2' then
      keep, newrec = false, '2' .. string.sub(rec, 2)
    elseif keep and tags[i] then
      for j = tags[i] + 1, tags[i] + ARGV[tags[i]] do
        local p = tagpos[ARGV[j]]
        local f = hc[p] or hp[p]
        if f and f > commit then
          keep = false
          break
        end
      end
    end
    recs[#recs + 1] = key
    recs[#recs + 1] = newrec
    gone[#gone + 1] = key
    if keep then
      store[#store + 1] = i
    elseif not isdel then
      degraded = degraded + 1
    end
  end
end

-- Write.  The records first: they are refused when the server is full, and
-- then values are deleted and not stored.  Any write that a full server
-- accepts, such as UNLINK, makes it accept the rest of the script.
local oom, wrong, failed, draining = 0, 0, 0, 0
if window > 0 then
  if fresh then
    call('UNLINK', unpack(fresh))
    local b, s = string.format('%.0f', begin), string.format('%.0f', since)
    for _, name in ipairs(fresh) do
      call('HSET', name, '\0b', b, '\0s', s, '\0g', generation)
    end
  end
  if #recs > 0 then
    local r = try('HSET', cur, unpack(recs))
    if type(r) == 'table' and r.err then
      if not string.find(r.err, 'OOM', 1, true) then
        return r
      end
      call('UNLINK', LEASE)
      call('HSET', cur, unpack(recs))
      oom = #store
      store = {}
    end
  end
end
if #gone > 0 then
  local r = try('UNLINK', unpack(gone))
  if type(r) == 'table' then
    -- not allowed to: put the records back, or a retry would be ignored
    for p = 3, nfields do
      if hc[p] then
        try('HSET', cur, fields[p], hc[p])
      else
        try('HDEL', cur, fields[p])
      end
    end
    return r
  end
end

-- Tags: out with what they held.  More than one call should delete is moved
-- aside at once and registered, for drain.lua to finish in steps.  What an
-- earlier push left unfinished is finished by whoever invalidates next.
if ninv > 0 then
  local budget = LIMIT
  for i = 7, 6 + ninv do
    local tag = ARGV[i]
    local n = try('SCARD', tag)
    if type(n) == 'table' then
      wrong = wrong + 1
    elseif n > budget then
      -- registered first: what is aside and nobody knows of would stay
      local aside = 'wtcache:drain:' .. ver .. ':' .. tag
      local r = try('HSET', DRAINS, aside, ARGV[5] .. tag)
      if type(r) == 'table' then
        -- somebody else's, or the first write that a full server refuses
        if string.find(r.err, 'WRONGTYPE', 1, true) then
          call('UNLINK', DRAINS)
        else
          call('UNLINK', LEASE)
        end
        call('HSET', DRAINS, aside, ARGV[5] .. tag)
      end
      if call('EXISTS', aside) == 1 then
        call('SUNIONSTORE', aside, aside, tag)
        call('UNLINK', tag)
      else
        call('RENAME', tag, aside)
      end
    elseif n > 0 then
      local list = call('SMEMBERS', tag)
      budget = budget - n
      if replay and window > 0 then
        local rc = call('HMGET', cur, unpack(list))
        local rp = call('HMGET', prev, unpack(list))
        local old = {}
        for j = 1, n do
          local rec = rc[j] or rp[j]
          local tail = rec and #rec - #pushed
          if not rec or rec < '2' or string.sub(rec, 2, #pushed - tail) ..
            string.sub(rec, #pushed + 1) < commit then
            old[#old + 1] = list[j]
          end
        end
        list, n = old, #old
      end
      for j = 1, n do
        list[n + j] = LEASE .. list[j]
      end
      if not replay then
        list[#list + 1] = tag
      elseif n > 0 then
        call('SREM', tag, unpack(list, 1, n))
      end
      if #list > 0 then
        call('UNLINK', unpack(list))
      end
    end
  end
  draining = try('HLEN', DRAINS)
  if type(draining) == 'table' then
    if not string.find(draining.err, 'WRONGTYPE', 1, true) then
      return draining
    end
    call('UNLINK', DRAINS)
    draining = 0
  end
end

-- Tags: in with what is about to be stored, in one SADD per tag.  The set
-- outlives its longest member by a minute and is never shortened.
local bad
if next(tags) then
  local members, life, names = {}, {}, {}
  for _, i in ipairs(store) do
    if tags[i] then
      local l = ARGV[at[i] + 2]
      for j = tags[i] + 1, tags[i] + ARGV[tags[i]] do
        local tag = ARGV[j]
        local m = members[tag]
        if m then
          m[#m + 1] = KEYS[i + 2]
          if life[tag] - l < 0 then
            life[tag] = l
          end
        else
          members[tag], life[tag] = {KEYS[i + 2]}, l
          names[#names + 1] = tag
        end
      end
    end
  end
  for _, tag in ipairs(names) do
    local n = try('SADD', tag, unpack(members[tag]))
    if type(n) == 'table' then
      wrong = wrong + 1
      bad = bad or {}
      bad[tag] = true
    else
      -- of no effect on a set without a TTL: an old one keeps it so, a new
      -- one is given one
      call('PEXPIRE', tag, life[tag], 'GT')
      if n > 0 and call('SCARD', tag) == n then
        call('PEXPIRE', tag, life[tag])
      end
      -- Two looks for every member that came, a few insertions at a time,
      -- for whether a member lives; those of this chunk are not stored yet.
      if n >= 8 or n > 0 and now % 8 == 0 then
        local mine = {}
        for _, m in ipairs(members[tag]) do
          mine[m] = true
        end
        local count = n >= 8 and math.min(2 * n, 100) or 16 * n
        for _, m in ipairs(call('SRANDMEMBER', tag, count)) do
          if not mine[m] and call('EXISTS', m) == 0 then
            call('SREM', tag, m)
          end
        end
      end
    end
  end
end

-- The values.
for _, i in ipairs(store) do
  local key, p = KEYS[i + 2], at[i]
  local ok = true
  if bad and tags[i] then
    for j = tags[i] + 1, tags[i] + ARGV[tags[i]] do
      ok = ok and not bad[ARGV[j]]
    end
  end
  if ok then
    local r
    if ARGV[p] == 's' then
      r = try('SET', key, ARGV[p + 3], 'PX', ARGV[p + 1])
    else
      r = try('HSET', key, unpack(ARGV, p + 4, p + 3 + ARGV[p + 3]))
      if type(r) == 'number' then
        call('PEXPIRE', key, ARGV[p + 1])
      end
    end
    if type(r) == 'table' and r.err then
      if string.find(r.err, 'OOM', 1, true) then
        oom = oom + 1
      else
        failed = failed + 1
      end
      ok = false
    end
  end
  if ok then
    stored = stored + 1
  else
    call('UNLINK', key)
  end
end

-- Tags that the key has left, in one SREM per tag.
if next(removed) then
  local leave = {}
  for i, p in pairs(removed) do
    for j = p + 1, p + ARGV[p] do
      local tag = ARGV[j]
      leave[tag] = leave[tag] or {}
      table.insert(leave[tag], KEYS[i + 2])
    end
  end
  for tag, keys in pairs(leave) do
    try('SREM', tag, unpack(keys))
  end
end

return {now, stored, older, degraded, oom, wrong, failed, draining, ver,
  generation}
