-- ARGV: ids of jobs that this process no longer waits for. What was accepted all the same is returned, and what was
-- not leaves nothing.
local taken = {}
for _, id in ipairs(ARGV) do
  if call('HEXISTS', S .. ':live', id) == 1 or call('EXISTS', S .. ':r:' .. id) == 1 then taken[#taken + 1] = id
  else call('UNLINK', S .. ':b:' .. id) end
end
return taken
