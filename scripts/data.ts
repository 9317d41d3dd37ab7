/**
 * npm run data: makes the data that is part of the sources from the packages that publish it, so that neither has to be
 * installed to run the server.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { priceData, priceFile } from './prices.ts'
import { vocabularyData } from './vocabulary.ts'

const root = join(import.meta.dirname, '..')
writeFileSync(join(root, 'src/pricing/prices.json'), priceFile(await priceData()))
writeFileSync(join(root, 'src/admission/estimate/o200k.bin'), vocabularyData())
