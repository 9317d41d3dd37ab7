-- Returns the bytes that count against maxmemory, that (0: none is set), and why writes are refused ('': they are not;
-- tried by one that changes nothing, and so is not stored).
local info = call('INFO', 'memory')
local function of(name) return tonumber(string.match(info, '\n' .. name .. ':(%d+)') or 0) end
local tried = redis.pcall('DEL', S .. ':none')
local refusal = type(tried) == 'table' and tried.err or ''
return { of('used_memory') - of('mem_not_counted_for_evict'), of('maxmemory'), refusal }
