-- ARGV: ids. Returns the newest epoch of logs, then for each its rows in live and run, and as an ended job.
local found = { call('LINDEX', S .. ':epochs', 0) or '' }
for _, id in ipairs(ARGV) do
  local live = call('HGET', S .. ':live', id)
  found[#found + 1] = live or ''
  found[#found + 1] = live and call('HGET', S .. ':run', id) or ''
  found[#found + 1] = not live and call('GET', S .. ':r:' .. id) or ''
end
return found
