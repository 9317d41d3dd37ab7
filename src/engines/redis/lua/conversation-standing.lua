-- include conversations
-- tenant, id, most jobs. Returns {number of the last news, {name, created, updated, turns}, last turn's job, rows in live}.
local name = conversation_name(ARGV[1], ARGV[2])
local info = call('HMGET', S .. ':c:' .. name, 'name', 'created', 'updated', 'turns')
local last = call('ZREVRANGE', S .. ':ct:' .. name, 0, 0)[1]
local jobs = call('ZRANGE', S .. ':cj:' .. name, 0, ARGV[3] - 1)
local rows = {}
for _, job in ipairs(jobs) do rows[#rows + 1] = call('HGET', S .. ':live', job) or '' end
return { call('GET', S .. ':cv') or '0', info, last or false, rows }
