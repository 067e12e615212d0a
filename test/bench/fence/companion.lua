-- Fenced sets and deletes, one companion key per key.
-- KEYS: key ...   ARGV: version, created, span (ms), then per key: ttl, value
local call, sub = redis.call, string.sub
local version, span = ARGV[1], ARGV[3]
local record, stored = 'v' .. version, 0

call('UNLINK', 'bench:no-such-lease')
for i = 1, #KEYS do
	local key, ttl = KEYS[i], ARGV[2 * i + 2]
	local fence = 'wtcache:fence:' .. key
	local rec = call('GET', fence)
	if not rec or sub(rec, 2) < version then
		if ttl ~= '' then
			call('PSETEX', key, ttl, ARGV[2 * i + 3])
			stored = stored + 1
		else
			call('UNLINK', key)
		end
		call('PSETEX', fence, span, record)
	end
end
return stored
