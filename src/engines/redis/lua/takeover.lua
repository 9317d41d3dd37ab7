-- include log
-- A candidate becomes the coordinator where there is none, or none but `from`. ARGV: its id, ttl ms, `from` or '', a
-- random number. Returns 1, term, epoch of logs, last seq; or 0, who it is, and how many hear for it.
local host, ttl, from, random = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local owner = call('GET', S .. ':owner')
if owner and owner ~= from then
  return { 0, owner, call('PUBSUB', NUMSUB, S .. ':h:' .. owner)[2] }
end
call('SET', S .. ':owner', host, 'PX', ttl)
-- With the host's name: a term that a fail-over lost is not counted again as the same
local term = string.format('%.0f.%s', call('INCR', S .. ':term'), host)
call('SET', S .. ':fence', term .. ':0')
return { 1, term, log_epoch(random), tonumber(call('GET', S .. ':seq') or 0) }
