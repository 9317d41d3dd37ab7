-- include sign-ins
-- code, role, ms, most, now.
local now = tonumber(ARGV[5])
add(CODES, tonumber(ARGV[4]), ARGV[1], ARGV[2], now + ARGV[3], now)
