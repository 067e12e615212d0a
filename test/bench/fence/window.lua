-- Fenced sets and deletes, window-hash layout: two hashes of key -> record,
-- used in turn, one per time window.  One HMGET on each, one HSET.
--
-- KEYS: hash 0, hash 1, key ...
-- ARGV: version, created (ms), span (ms), then per key: ttl (ms; '' deletes),
--       value
-- A hash's own entry '' is '<window, 12 digits><since (ms), 14 digits>'.
local call, sub = redis.call, string.sub
local version, created, span = ARGV[1], ARGV[2] + 0, ARGV[3] + 0
local time = call('TIME')
local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
local window = (now - now % span) / span
local parity = window % 2
local hash, last = KEYS[parity + 1], KEYS[2 - parity]

-- voids a lease in the real script; makes a full server accept the rest
call('UNLINK', 'bench:no-such-lease')

local cur = call('HMGET', hash, '', unpack(KEYS, 3))
local old = call('HMGET', last, '', unpack(KEYS, 3))
local since
if cur[1] and old[1] then
	since = math.max(sub(cur[1], 13) + 0, sub(old[1], 13) + 0)
else
	since = now
end
local function renew(half, number)
	call('UNLINK', half)
	call('HSET', half, '', string.format('%012d%014d', number, since))
end
if not (cur[1] and old[1]) or sub(cur[1], 1, 12) + 0 ~= window then
	renew(hash, window)
	if not (cur[1] and old[1]) then
		old = {}
	end
	cur = {}
end
if not old[1] or sub(old[1], 1, 12) + 0 ~= window - 1 then
	renew(last, window - 1)
	old = {}
end
local late = created < since or created < (window - 1) * span

local record = 'v' .. version
local write, n, stored = {}, 0, 0
for i = 3, #KEYS do
	local key, ttl = KEYS[i], ARGV[2 * i - 2]
	local rec = cur[i - 1] or old[i - 1]
	local mine, store = record, ttl ~= '' and not late
	if rec and sub(rec, 2) >= version then
		if sub(rec, 1, 1) == 'v' then
			mine = nil
		else
			mine, store = 'v' .. sub(rec, 2), false
		end
	end
	if mine then
		if store then
			call('PSETEX', key, ttl, ARGV[2 * i - 1])
			stored = stored + 1
		else
			call('UNLINK', key)
		end
		write[n + 1], write[n + 2] = key, mine
		n = n + 2
	end
end
if n > 0 then
	call('HSET', hash, unpack(write))
end
return stored
