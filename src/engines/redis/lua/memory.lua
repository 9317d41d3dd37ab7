-- Returns the bytes that count against maxmemory, and that (0: none is set).
local info = call('INFO', 'memory')
local function of(name) return tonumber(string.match(info, '\n' .. name .. ':(%d+)') or 0) end
return { of('used_memory') - of('mem_not_counted_for_evict'), of('maxmemory') }
