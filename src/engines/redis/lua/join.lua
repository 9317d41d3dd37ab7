-- include room
-- Returns a number that no other process of the fleet has, and the fleet's layout.
return { call('INCR', S .. ':members'), tonumber(call('GET', S .. ':layout') or 1) }
