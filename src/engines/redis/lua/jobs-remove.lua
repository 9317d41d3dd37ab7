-- include room
-- include jobs
-- Removes ended jobs with all that is stored of them. ARGV: id, tenant, bytes, key or '', index of its run
-- or '' of each. Returns how many.
jobs_file()
local removed = 0
for i = 1, #ARGV, 5 do
  local id, tenant, bytes, key, run = unpack(ARGV, i, i + 4)
  if call('HEXISTS', S .. ':live', id) == 0 then
    if call('UNLINK', S .. ':r:' .. id, S .. ':b:' .. id, S .. ':l:' .. id) > 0 then removed = removed + 1 end
    for _, index in ipairs({ ':jobs', ':bad' }) do
      call('ZREM', S .. index, id)
      call('ZREM', S .. index .. ':' .. tenant, id)
    end
    call('ZREM', S .. ':leaving', id)
    if run ~= '' then call('ZREM', run, id) end
    if call('ZREM', S .. ':ends:' .. tenant, id .. ':' .. bytes) == 1 then
      call('HINCRBY', S .. ':bytes', tenant, '-' .. bytes)
      if call('EXISTS', S .. ':ends:' .. tenant) == 0 then call('HDEL', S .. ':bytes', tenant) end
    end
    -- It may be another job's by now
    if key ~= '' and string.sub(call('GET', key) or '', 1, #id) == id then call('UNLINK', key) end
  end
end
return removed
