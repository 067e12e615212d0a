-- apply.lua: applies one chunk of a batch, atomically, under the fence.
--
-- The contract (DESIGN: "What is in Redis"):
--
--   KEYS[1], KEYS[2]  the two fence hashes
--   KEYS[3..]         the key of each operation
--   ARGV[1]           version of the batch: 24 upper-case hex digits
--   ARGV[2]           creation time of the batch, microseconds of this
--                     server's clock, as a lower bound
--   ARGV[3]           fence_ttl in microseconds; 0 switches the fence off
--                     (developers only: it is how the tests show that the
--                     fence is needed)
--   ARGV[4]           number of the first tag of this chunk in the batch
--   ARGV[5]           how many tags to invalidate, then those tags
--   then per operation:
--     d nremoved removed...
--     s ttl value             ntags tag... nremoved removed...
--     h ttl nvalues f v f v.. ntags tag... nremoved removed...
--
-- Returns { now, stored, older, degraded, oom, wrongtype, failed, draining,
-- version }.  Any of oom, wrongtype, failed above zero means that something
-- was deleted where it should have been stored.
--
-- A fence hash holds, beside the records, when it was begun (b) and since
-- when the pair has been kept without loss (s).  The half begun later takes
-- the records; when it is older than fence_ttl the other one is emptied and
-- takes its turn.  What was created before floor = max(s, b of the older half)
-- may have been overtaken by a write whose record is gone: it only deletes.
-- The clock of ours may step: then both bounds err towards deleting.
--
-- Nothing is written before everything is decided, and the first write is the
-- one that a full or read-only server refuses: an error then leaves no half.

local LEASE = 'wtcache:lease:'
local LIMIT = 1000   -- members that one call may delete on behalf of a tag
local ver, created, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local drain, ninv = tonumber(ARGV[4]), tonumber(ARGV[5])
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]

-- What to ask the fence: both marks, then a record per key, then per tag.
-- Keys and tags are text and hold no zero byte, so nothing can collide.
local nops = #KEYS - 2
local fields, tagpos = {'\0b', '\0s'}, {}
for i = 1, nops do
  fields[i + 2] = KEYS[i + 2]
end
local function asktag(tag)
  if not tagpos[tag] then
    fields[#fields + 1] = '\0' .. tag
    tagpos[tag] = #fields
  end
end
for i = 1, ninv do
  asktag(ARGV[5 + i])
end

-- Where each operation's tags and removed tags stand in ARGV.
local at, tags, removed = {}, {}, {}
local a = 6 + ninv
for i = 1, nops do
  at[i] = a
  local kind = ARGV[a]
  if kind == 'd' then
    a = a + 1
  else
    if kind == 's' then
      a = a + 3
    else
      a = a + 3 + tonumber(ARGV[a + 2])
    end
    local n = tonumber(ARGV[a])
    if n > 0 then
      tags[i] = a
      for j = a + 1, a + n do
        asktag(ARGV[j])
      end
    end
    a = a + 1 + n
  end
  local n = tonumber(ARGV[a])
  if n > 0 then
    removed[i] = a
  end
  a = a + 1 + n
end

local function isoom(e)
  return string.find(e, 'OOM', 1, true) ~= nil
end

-- The pair.  A half of another type counts as missing.
local function half(name)
  local r = redis.pcall('HMGET', name, unpack(fields))
  if r.err then
    return {}
  end
  return r
end
local cur, prev = KEYS[1], KEYS[2]
local hc, hp = half(cur), half(prev)
local floor, fresh, begin, since
if window > 0 then
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
    if now - bc >= window then
      cur, prev, hc, hp, bp = prev, cur, {}, hc, bc
      fresh = {cur}
      begin = now
    end
    floor = math.max(since, bp)
  end
else
  hc, hp, floor = {}, {}, 0
end

-- Decide.
local recs, gone, store = {}, {}, {}
local older, degraded, stored = 0, 0, 0
for i = 1, ninv do
  local tag = ARGV[5 + i]
  local p = tagpos[tag]
  local rec = hc[p] or hp[p]
  if not rec or rec < ver then
    recs[#recs + 1] = fields[p]
    recs[#recs + 1] = ver
  end
end
for i = 1, nops do
  local key = KEYS[i + 2]
  local rec = hc[i + 2] or hp[i + 2]
  local isdel = ARGV[at[i]] == 'd'
  gone[#gone + 1] = LEASE .. key
  local rkind, rver
  if rec then
    rkind, rver = string.sub(rec, 1, 1), string.sub(rec, 2)
  end
  if rkind == 'v' and rver >= ver then
    older = older + 1
  else
    local keep = not isdel
    local newver = ver
    if rkind == 'u' and rver >= ver then
      keep, newver = false, rver
    elseif keep and created < floor then
      keep = false
    elseif keep and tags[i] then
      for j = tags[i] + 1, tags[i] + tonumber(ARGV[tags[i]]) do
        local p = tagpos[ARGV[j]]
        local f = hc[p] or hp[p]
        if f and f > ver then
          keep = false
          break
        end
      end
    end
    recs[#recs + 1] = key
    recs[#recs + 1] = 'v' .. newver
    if keep then
      store[#store + 1] = i
    else
      gone[#gone + 1] = key
      if not isdel then
        degraded = degraded + 1
      end
    end
  end
end

-- Write.  The records first: they are refused when the server is full, and
-- then values are deleted instead of stored.  Any write that a full server
-- accepts, such as UNLINK, makes it accept the rest of the script.
local oom, wrong, failed, draining = 0, 0, 0, 0
local full = false
if window > 0 then
  if fresh then
    redis.call('UNLINK', unpack(fresh))
    local b, s = string.format('%.0f', begin), string.format('%.0f', since)
    for _, name in ipairs(fresh) do
      redis.call('HSET', name, '\0b', b, '\0s', s)
    end
  end
  if #recs > 0 then
    local r = redis.pcall('HSET', cur, unpack(recs))
    if type(r) == 'table' and r.err then
      if not isoom(r.err) then
        return r
      end
      full = true
      redis.call('UNLINK', LEASE)
      redis.call('HSET', cur, unpack(recs))
    end
  end
end
if full then
  for _, i in ipairs(store) do
    gone[#gone + 1] = KEYS[i + 2]
  end
  oom = #store
  store = {}
end
if #gone > 0 then
  redis.call('UNLINK', unpack(gone))
end

-- Tags: out with what they held.  A large set is moved aside at once and
-- emptied by drain.lua in steps.
for i = 1, ninv do
  local tag = ARGV[5 + i]
  local n = redis.pcall('SCARD', tag)
  if type(n) == 'table' then
    wrong = wrong + 1
  elseif n > LIMIT then
    local aside = 'wtcache:drain:' .. ver .. ':' .. (drain + i - 1)
    if redis.call('EXISTS', aside) == 1 then
      redis.call('SUNIONSTORE', aside, aside, tag)
      redis.call('UNLINK', tag)
    else
      redis.call('RENAME', tag, aside)
    end
    draining = draining + 1
  elseif n > 0 then
    local list = redis.call('SMEMBERS', tag)
    for j = 1, n do
      list[n + j] = LEASE .. list[j]
    end
    list[#list + 1] = tag
    redis.call('UNLINK', unpack(list))
  end
end

-- Tags: in with what is about to be stored, in one SADD per tag.  The set
-- outlives its longest member by a minute and is never shortened.
local members, life, names = {}, {}, {}
for _, i in ipairs(store) do
  if tags[i] then
    local ttl = tonumber(ARGV[at[i] + 1])
    for j = tags[i] + 1, tags[i] + tonumber(ARGV[tags[i]]) do
      local tag = ARGV[j]
      local m = members[tag]
      if not m then
        m = {}
        members[tag], life[tag] = m, 0
        names[#names + 1] = tag
      end
      m[#m + 1] = KEYS[i + 2]
      life[tag] = math.max(life[tag], ttl + 60000)
    end
  end
end
local bad = {}
for _, tag in ipairs(names) do
  local left = redis.call('PTTL', tag)
  local n = redis.pcall('SADD', tag, unpack(members[tag]))
  if type(n) == 'table' then
    wrong = wrong + 1
    bad[tag] = true
  else
    if left ~= -1 and left < life[tag] then
      redis.call('PEXPIRE', tag, string.format('%.0f', life[tag]))
    end
    -- Sweep: for every member that came, look at two for whether they live.
    if n > 0 then
      local some = redis.call('SRANDMEMBER', tag, math.min(2 * n, 20))
      local dead = {}
      for _, m in ipairs(some) do
        if redis.call('EXISTS', m) == 0 then
          dead[#dead + 1] = m
        end
      end
      -- members of this very chunk are not stored yet
      if #dead > 0 then
        local mine = {}
        for _, m in ipairs(members[tag]) do
          mine[m] = true
        end
        for _, m in ipairs(dead) do
          if not mine[m] then
            redis.call('SREM', tag, m)
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
  if wrong > 0 and tags[i] then
    for j = tags[i] + 1, tags[i] + tonumber(ARGV[tags[i]]) do
      ok = ok and not bad[ARGV[j]]
    end
  end
  if ok then
    local r
    if ARGV[p] == 's' then
      r = redis.pcall('SET', key, ARGV[p + 2], 'PX', ARGV[p + 1])
    else
      local n = tonumber(ARGV[p + 2])
      redis.call('UNLINK', key)
      r = redis.pcall('HSET', key, unpack(ARGV, p + 3, p + 2 + n))
      if type(r) == 'number' then
        redis.call('PEXPIRE', key, ARGV[p + 1])
      end
    end
    if type(r) == 'table' and r.err then
      if isoom(r.err) then
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
    redis.call('UNLINK', key)
  end
end

-- Tags that the row has left; not when the operation was older than what is
-- there, for then a newer one has settled them.
local leave, lnames = {}, {}
for i = 1, nops do
  local rec = hc[i + 2] or hp[i + 2]
  if removed[i] and not (rec and string.sub(rec, 1, 1) == 'v'
                         and string.sub(rec, 2) >= ver) then
    for j = removed[i] + 1, removed[i] + tonumber(ARGV[removed[i]]) do
      local tag = ARGV[j]
      if not leave[tag] then
        leave[tag] = {}
        lnames[#lnames + 1] = tag
      end
      table.insert(leave[tag], KEYS[i + 2])
    end
  end
end
for _, tag in ipairs(lnames) do
  redis.pcall('SREM', tag, unpack(leave[tag]))
end

return {now, stored, older, degraded, oom, wrong, failed, draining, ver}
