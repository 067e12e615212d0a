-- As companion.lua, but the companions are read with one MGET.
-- KEYS: key ...   ARGV: version, created, span (ms), then per key: ttl, value
local call, sub = redis.call, string.sub
local version, span = ARGV[1], ARGV[3]
local record, fences, stored = 'v' .. version, {}, 0

call('UNLINK', 'bench:no-such-lease')
for i = 1, #KEYS do
	fences[i] = 'wtcache:fence:' .. KEYS[i]
end
local recs = call('MGET', unpack(fences))
for i = 1, #KEYS do
	local rec, ttl = recs[i], ARGV[2 * i + 2]
	if not rec or sub(rec, 2) < version then
		if ttl ~= '' then
			call('PSETEX', KEYS[i], ttl, ARGV[2 * i + 3])
			stored = stored + 1
		else
			call('UNLINK', KEYS[i])
		end
		call('PSETEX', fences[i], span, record)
	end
end
return stored
