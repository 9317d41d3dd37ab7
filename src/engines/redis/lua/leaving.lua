-- include room
-- Jobs that are still read, or may be: they leave later, and expire later where nobody sweeps. ARGV: time, ids.
local BACKSTOP_MS = 3600000
for i = 2, #ARGV do
  call('ZADD', S .. ':leaving', 'XX', 'GT', ARGV[1], ARGV[i])
  for _, name in ipairs({ ':b:', ':l:', ':r:' }) do
    if call('PTTL', S .. name .. ARGV[i]) > 0 then call('PEXPIRE', S .. name .. ARGV[i], BACKSTOP_MS) end
  end
end
