-- ARGV: id. The request of a job that is there.
if call('HEXISTS', S .. ':live', ARGV[1]) == 0 and call('EXISTS', S .. ':r:' .. ARGV[1]) == 0 then return nil end
return call('GET', S .. ':b:' .. ARGV[1])
