-- Window hashes cut into many small pairs, so that Redis keeps each as a
-- listpack: less memory, but commands per key instead of per batch.
-- KEYS: key ...
-- ARGV: version, created (ms), span (ms), then per key: ttl (ms), value; then
--       per key: the number of its pair
local call, sub = redis.call, string.sub
local version, created, span = ARGV[1], ARGV[2] + 0, ARGV[3] + 0
local time = call('TIME')
local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
local window = (now - now % span) / span
local parity = window % 2
local record, n, stored = 'v' .. version, #KEYS, 0

call('UNLINK', 'bench:no-such-lease')
for i = 1, n do
	local key, ttl, pair = KEYS[i], ARGV[2 * i + 2], ARGV[3 + 2 * n + i]
	local hash = 'wtcache:fence:' .. parity .. ':' .. pair
	local last = 'wtcache:fence:' .. 1 - parity .. ':' .. pair
	local cur, old = call('HMGET', hash, '', key), call('HMGET', last, '', key)
	local since = now
	if cur[1] and old[1] then
		since = math.max(sub(cur[1], 13) + 0, sub(old[1], 13) + 0)
	end
	if not (cur[1] and old[1]) or sub(cur[1], 1, 12) + 0 ~= window then
		call('UNLINK', hash)
		call('HSET', hash, '', string.format('%012d%014d', window, since))
		if not (cur[1] and old[1]) then
			old = {}
		end
		cur = {}
	end
	if not old[1] or sub(old[1], 1, 12) + 0 ~= window - 1 then
		call('UNLINK', last)
		call('HSET', last, '', string.format('%012d%014d', window - 1, since))
		old = {}
	end
	local rec = cur[2] or old[2]
	local mine = record
	local store = ttl ~= '' and created >= since
		and created >= (window - 1) * span
	if rec and sub(rec, 2) >= version then
		if sub(rec, 1, 1) == 'v' then
			mine = nil
		else
			mine, store = 'v' .. sub(rec, 2), false
		end
	end
	if mine then
		if store then
			call('PSETEX', key, ttl, ARGV[2 * i + 3])
			stored = stored + 1
		else
			call('UNLINK', key)
		end
		call('HSET', hash, key, mine)
	end
end
return stored
