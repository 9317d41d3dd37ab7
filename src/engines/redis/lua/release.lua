-- The coordinator steps down: any candidate may follow at once. ARGV: host.
if call('GET', S .. ':owner') ~= ARGV[1] then return 0 end
call('DEL', S .. ':owner')
return call(PUBLISH, S .. ':ctl', '{"type":"free"}')
