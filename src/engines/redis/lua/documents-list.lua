-- include documents
-- kind, below this id or '', most, bytes, tenant if only one's. The greatest first: see texts.
local kind, before = ARGV[1], ARGV[2]
local key = ARGV[5] and ids_of(kind, ARGV[5]) or documents(kind) .. ':ids'
local from = before == '' and '+' or '(' .. before
return texts(kind, call('ZRANGE', key, from, '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[3]), ARGV[4])
