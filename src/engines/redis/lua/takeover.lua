-- include room
-- include log
-- A candidate becomes the coordinator where there is none, or none but `from`. ARGV: its id, ttl ms, `from` or '', a
-- random number, the newest layout that it reads. Returns 1, term, epoch of logs, last seq, whether this is another
-- server than the last term's; or 0, who it is, and how many hear for it; or -1 and the layout, which is too new. One
-- that is being filled is nobody's.
local host, ttl, from, random = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local layout = tonumber(call('GET', S .. ':layout') or 1)
if layout > tonumber(ARGV[5]) then return { -1, layout } end
local owner = call('GET', S .. ':owner')
if owner and owner ~= from then
  return { 0, owner, call('PUBSUB', NUMSUB, S .. ':h:' .. owner)[2] }
end
if call('EXISTS', S .. ':filling') == 1 then return { 0, '', 1 } end
call('SET', S .. ':owner', host, 'PX', ttl)
-- Drawn: a term that a fail-over lost is not counted again as the same, even by the same host
local term = string.format('%.0f-%s.%s', call('INCR', S .. ':term'), random, host)
call('SET', S .. ':fence', term .. ':0')
-- Redis keeps a hash of up to 512 short values as a list, which each look-up walks through; a long one makes it a table
for _, of in ipairs({ ':fol', ':ttft' }) do call('HSET', S .. of, '-', string.rep('-', 65)) end
local before = call('LINDEX', S .. ':epochs', 0)
local epoch = log_epoch(random)
local is_other = before and call('LINDEX', S .. ':epochs', 0) ~= before
return { 1, term, epoch, tonumber(call('GET', S .. ':seq') or 0), is_other and 1 or 0 }
